"""`plenum report`: from a checked site file and its stored readings to a report."""

import asyncio
import sys
from argparse import Namespace
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from config.factors import TABLE, UnknownFactor, official_factors
from config.site import Site
from controller.carbon.heard import heard_intensity, heard_prices
from controller.carbon.intensity import IntensityFile, read_intensity, site_intensity
from controller.report.open_data import as_csv, as_json
from controller.report.period import Period, day, days, month
from controller.report.sources import Metered, Named, Sources, days_kept, heard_as, read_meters
from controller.report.tables import Report, check_factors, make_report
from controller.report.text import as_text
from controller.store.base import StoreError
from controller.store.readings import READINGS_FILE
from controller.store.sqlite import SqliteStore
from controller.terminal import DONE, NO, WRONG_INPUT, complain, data_directory
from controller.version import own_version
from drivers.clock import Clock

FAR = timedelta(days=36_500)  # any day that a store may hold
FORMATS = {"text": as_text, "csv": as_csv, "json": as_json}


class NoReadings(Exception):  # noqa: N818  the answer is no
    """The store holds nothing of the period; the text says what it holds."""


def report_on(site: Site, args: Namespace) -> int:
    """Print the report; the exit codes are those of `controller.cli`."""
    try:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            report = runner.run(_report(site, args))
    except NoReadings as error:
        complain(str(error))
        return NO
    except UnknownFactor as error:
        complain(f"{error.args[0]}; choose days of such a year, or fix carbon.factor_year in the site file")
        return WRONG_INPUT
    except (StoreError, OSError, ValueError) as error:
        complain(str(error))
        return WRONG_INPUT
    sys.stdout.write(FORMATS[args.format](report))
    return DONE


async def _report(site: Site, args: Namespace) -> Report:
    clock, factors = Clock.real(), official_factors()
    period = _period(args, site).until(clock.now())
    if not site.meters:
        raise ValueError(f"{args.site}: no meters, so there is nothing to report; list them under 'meters'")
    check_factors(site, period.years, factors)
    directory = _directory(args, site)
    intensity, file = _intensity(args, site)
    async with SqliteStore(directory, clock=clock) as store:
        metered = await _read(store, site, period)
        if intensity is None:
            intensity = await heard_intensity(store, site, period.start, period.end)
            file = None if intensity is None else heard_as(intensity)
        prices = await heard_prices(store, site, period.start, period.end)
    sources = Sources(
        version=own_version(),
        site_file=Named.of(args.site),
        factors=Named.of(TABLE),
        intensity=file,
        readings={one.account.meter.id: one.sha256 for one in metered},
    )
    return make_report(site, period, metered, intensity=intensity, factors=factors, sources=sources, prices=prices)


def _period(args: Namespace, site: Site) -> Period:
    if args.month is not None and (args.first or args.last) is not None:
        raise ValueError("--month and --from, --to exclude each other; write one or the other")
    if args.month is not None:
        return month(args.month, site.timezone)
    if args.first is None or args.last is None:
        raise ValueError("which days? write --month 2023-02, or --from 2023-02-06 --to 2023-02-19")
    return days(day(args.first, "--from"), day(args.last, "--to"), site.timezone)


def _directory(args: Namespace, site: Site) -> Path:
    directory: Path = args.data if args.data is not None else data_directory(site, args.site)
    if not (directory / READINGS_FILE).exists():
        raise ValueError(
            f"{directory}: no readings are kept there; name the directory with --data, or store.path in the site file"
        )
    return directory


def _intensity(args: Namespace, site: Site) -> tuple[IntensityFile | None, Named | None]:
    """The half-hourly intensity and its file; None and None if neither option nor site file names one."""
    if args.intensity is not None:
        if not args.intensity.is_file():
            raise ValueError(f"--intensity {args.intensity}: there is no such file; write its path as seen from here")
        return read_intensity(args.intensity, source=site.carbon.intensity_source), Named.of(args.intensity)
    found = site_intensity(site.carbon, args.site.parent)
    if found is None or site.carbon.intensity_file is None:
        return None, None
    return found, Named.of(args.site.parent / site.carbon.intensity_file)


async def _read(store: SqliteStore, site: Site, period: Period) -> list[Metered]:
    """Every meter's half-hours, with a bar while it takes long. Raises NoReadings, StoreError."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        bar = progress.add_task(f"reading {len(site.meters)} meters", total=len(site.meters))
        metered = await read_meters(store, site, period, tick=lambda: progress.advance(bar))
    if all(one.account.coverage.missing == one.account.coverage.expected for one in metered):
        raise NoReadings(_nothing(period, await days_kept(store, site, period.end + FAR)))
    return metered


def _nothing(period: Period, kept: tuple[datetime, datetime] | None) -> str:
    text = f"no meter has a reading from {period.first} to {period.last}"
    if kept is None:
        return f"{text}; the store holds none of any day"
    return f"{text}; the store holds readings from {kept[0]:%Y-%m-%d} to {kept[1]:%Y-%m-%d}"
