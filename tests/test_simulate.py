"""`plenum simulate`: spans of local days, refusals in plain words, and runs from one and the same morning."""

from argparse import Namespace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from rich.progress import Progress

from site_sims.demo import run_demo
from site_sims.simulate import Span, learn_first, run_bms, run_controlled, run_simulate, simulate
from tests.town_hall import EXAMPLE, town_hall_site

LONDON = "Europe/London"


@pytest.mark.parametrize(
    ("first", "last", "start", "length_h"),
    [
        (date(2023, 2, 6), date(2023, 2, 6), datetime(2023, 2, 6, tzinfo=UTC), 24),
        (date(2023, 3, 26), date(2023, 3, 26), datetime(2023, 3, 26, tzinfo=UTC), 23),
        (date(2023, 10, 29), date(2023, 10, 29), datetime(2023, 10, 28, 23, tzinfo=UTC), 25),
        (date(2023, 3, 25), date(2023, 3, 27), datetime(2023, 3, 25, tzinfo=UTC), 71),
    ],
)
def test_whole_days_are_local_days(first: date, last: date, start: datetime, length_h: int) -> None:
    span = Span.days(first, last, LONDON)
    assert span.start == start
    assert span.end.astimezone(UTC) - span.start.astimezone(UTC) == timedelta(hours=length_h)


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="no span of days"):
        Span.days(date(2023, 2, 7), date(2023, 2, 6), LONDON)


def arguments(**changes: object) -> Namespace:
    usual = {
        "site": EXAMPLE,
        "start": "2023-02-06",
        "days": 1,
        "learn": "2023-01-09..2023-02-05",
        "seed": [1],
        "only": ["bms"],
        "wire": False,
        "json": True,
        "tune_baseline": False,
    }
    return Namespace(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": "6 February"}, "Invalid isoformat"),
        ({"learn": "2023-01-09"}, "not enough values"),
        ({"learn": "2023-02-05..2023-01-09"}, "the first comes after the last"),
        ({"learn": "2023-01-09..2023-02-06"}, "not scored on its lessons"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_a_line_with_an_example(
    changes: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_simulate(arguments(**changes)) == 2
    text = " ".join(capsys.readouterr().err.split())
    assert said in text
    assert "write --start 2023-02-06 --learn 2023-01-09..2023-02-05" in text


def test_a_site_with_mistakes_is_not_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "site.yaml"
    wrong.write_text("id: Town Hall\n", encoding="utf-8")
    assert run_simulate(arguments(site=wrong)) == 2
    assert "site.yaml" in capsys.readouterr().err


def test_a_building_nobody_knows_is_neither_simulated_nor_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = EXAMPLE.with_name("first_site.yaml")
    data = tmp_path / "demo"
    assert run_simulate(arguments(site=site)) == 2
    assert run_demo(Namespace(site=site, pace=60.0, port=0, seed=1, data=data)) == 2
    said = capsys.readouterr()
    for text in (said.err, said.out):
        assert "nothing is known of the building behind" in " ".join(text.split())
        assert "school, townhall" in " ".join(text.split())
    assert not data.exists()


def test_a_demonstration_of_a_site_with_mistakes_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "site.yaml"
    wrong.write_text("id: Town Hall\n", encoding="utf-8")
    assert run_demo(Namespace(site=wrong, pace=60.0, port=0, seed=1, data=tmp_path / "demo")) == 2
    assert "site.yaml" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_all_runs_begin_on_the_same_morning_and_repeat() -> None:
    site = town_hall_site()
    learning = Span.days(date(2023, 1, 23), date(2023, 1, 31), LONDON)
    scored = Span.days(date(2023, 2, 1), date(2023, 2, 1), LONDON)
    morning = learn_first(site, learning, scored.start, seed=1, tick=lambda _: None)
    lived: list[timedelta] = []
    bms = run_bms(site, morning, scored, seed=1, tick=lived.append)
    assert sum(lived, timedelta(0)) == timedelta(days=1)
    assert bms == run_bms(site, morning, scored, seed=1, tick=lambda _: None)

    def controlled(*, optimise: bool) -> object:
        return run_controlled(
            site,
            morning,
            scored,
            seed=1,
            tick=lambda _: None,
            optimise=optimise,
            wire=False,
            heat=bms.heat,
        )

    rules, plenum = controlled(optimise=False), controlled(optimise=True)
    assert plenum == controlled(optimise=True)
    assert len({bms.cost, rules.cost, plenum.cost}) == 3
    assert bms.hours == rules.hours == plenum.hours == 24.0
    assert plenum.discomfort_kh["below"] < 5.0
    both = arguments(only=["bms", "rules"])
    result = simulate(site, both, learning=learning, scored=scored, seed=1, progress=Progress(disable=True))
    assert result["runs"]["bms"] == bms.as_json()
    assert result["runs"]["rules"] == rules.as_json()
    assert result["change_pct"] == {}
