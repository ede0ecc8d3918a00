"""A year of the primary school under its own control and under Plenum, in virtual time: `python -m bench.year`.

Simulated drivers, every point polled each minute, the store included. The weeks before are lived and learned from
first, and not counted; so is the year under the building's own control, which is there to compare with.
"""

import argparse
import logging
import time
from datetime import date, timedelta

from bench.fortnight import SEED, live_through
from bench.site import example
from config.site import Site
from site_sims.score import Score
from site_sims.simulate import Morning, Span, learn_first, run_bms

LEARN = date(2022, 11, 14), date(2022, 12, 11)
FIRST, DAYS = date(2023, 1, 1), 365
TARGET_S = 900.0  # wall time of 365 controlled days on two cores


def own_control(site: Site, morning: Morning, scored: Span) -> Score:
    """The span under the building's own control."""
    return run_bms(site, morning, scored, seed=SEED, tick=lambda _: None)


def words(name: str, score: Score) -> str:
    """What a run used and how it felt."""
    energy, carbon, cold = score.energy_kwh, score.carbon_kg["grid"], score.discomfort_kh
    return (
        f"{name}: {energy['electricity']:,.0f} kWh electricity, {energy['gas']:,.0f} kWh gas, cost {score.cost:,.0f},"
        f" {carbon:,.0f} kg CO2; {cold['below']:.0f} K h too cold, {cold['above']:.0f} too warm,"
        f" mean {score.mean_occupied_degc:.2f} degC while occupied"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.year")
    parser.add_argument("--days", type=int, default=DAYS, help="of the year (default: all %(default)s)")
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST, help="first day (default %(default)s)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    site = example("school")
    learning = Span.days(*LEARN, site.timezone)
    scored = Span.days(args.first, args.first + timedelta(days=args.days - 1), site.timezone)
    begun = time.perf_counter()
    morning = learn_first(site, learning, scored.start, seed=SEED, tick=lambda _: None)
    print(f"learned from {LEARN[0]} to {LEARN[1]} in {time.perf_counter() - begun:.1f} s, not counted", flush=True)
    bms = own_control(site, morning, scored)
    print(words("its own BMS", bms), flush=True)
    lived = live_through(site, morning, scored, wire=False)
    print(words("Plenum", lived.score))
    print(lived.report("the year", TARGET_S * lived.days / DAYS))


if __name__ == "__main__":
    main()
