"""The Grafana dashboard asks for what we write, and for nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.influx import Influx
from controller.store.lines import FIELDS, MEASUREMENT, TAGS, lines_of
from tests.influx_server import LINE
from tests.test_lines import reading

DOCS = Path(__file__).parents[1] / "docs"
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana" / "plenum-readings.json").read_text(encoding="utf-8"))
QUERIES = [target["query"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
LISTS = [found["query"] for found in DASHBOARD["templating"]["list"] if found["type"] == "query"]
NAME = re.compile(r'"(\w+)"')


@pytest.mark.parametrize("query", QUERIES + LISTS)
def test_its_queries_name_only_what_we_write(query: str) -> None:
    renamed = set(re.findall(r'AS "(\w+)"', query))
    names = set(NAME.findall(query)) - renamed
    assert MEASUREMENT in names
    assert names <= {MEASUREMENT, *TAGS, *FIELDS}, names
    variables = {found["name"] for found in DASHBOARD["templating"]["list"]} | {"timeFilter", "__interval"}
    assert set(re.findall(r"\$(\w+)", query)) <= variables


def test_what_it_may_name_is_what_is_written() -> None:
    found = LINE.fullmatch(lines_of([reading(1.0)], site="s")[0])
    assert found
    written = re.findall(r"[ ,](\w+)=", found[0])
    assert set(written) == {*TAGS, *FIELDS}


def test_each_panel_says_what_it_shows_and_asks_the_chosen_source() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 5
    assert all(panel["title"] and panel["description"] for panel in panels)
    sources = [panel["datasource"] for panel in panels]
    sources += [target["datasource"] for panel in panels for target in panel["targets"]]
    assert all(source == {"type": "influxdb", "uid": "${source}"} for source in sources)
    boxes = [panel["gridPos"] for panel in panels]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)


def test_every_key_of_the_site_file_is_explained() -> None:
    text = (DOCS / "influxdb.md").read_text(encoding="utf-8")
    assert [name for name in Influx.model_fields if f"`{name}" not in text and f"{name}:" not in text] == []
