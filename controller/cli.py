"""The `plenum` command: run, check, plan, report, backup, restore, simulate, demo.

Exit codes: 0 done; 1 the command ran and its answer is no (points not released, no plan, no readings); 2 wrong input,
nothing was done; 3 another supervisor holds this data directory; 130 interrupted before anything began.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from optimiser.worker import Worker

DONE, NO, WRONG_INPUT, TAKEN, INTERRUPTED = 0, 1, 2, 3, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plenum", description=__doc__.splitlines()[0], epilog=" ".join(__doc__.splitlines()[2:])
    )
    parser.add_argument("--log-json", action="store_true", help="one JSON object a log line")
    parser.add_argument("-v", "--verbose", action="store_true", help="log traffic too")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run_ = commands.add_parser("run", help="the service: control the site until stopped")
    run_.add_argument("site", type=Path)
    run_.add_argument("--advisory", action="store_true", help="show plans, write nothing")
    run_.add_argument("--no-guard", action="store_true", help="do not start the guard process (another one watches)")

    check = commands.add_parser("check", help="validate a site file; every error at once")
    check.add_argument("site", type=Path)
    check.add_argument("--json", action="store_true")

    plan = commands.add_parser("plan", help="one plan now, explained, nothing written")
    plan.add_argument("site", type=Path)
    plan.add_argument("--json", action="store_true")
    plan.add_argument("--listen", type=float, default=90.0, metavar="S", help="seconds to hear the devices first")

    report = commands.add_parser("report", help="energy, cost and carbon of a month, by building and fuel")
    report.add_argument("site", type=Path)
    report.add_argument("--month", metavar="YYYY-MM")
    report.add_argument("--from", dest="first", metavar="DAY", help="first local day, such as 2023-02-06")
    report.add_argument("--to", dest="last", metavar="DAY", help="last local day, included")
    report.add_argument(
        "--data", type=Path, metavar="DIR", help="where the readings are (default: the site's own store)"
    )
    report.add_argument(
        "--intensity", type=Path, metavar="CSV", help="half-hourly grid intensity, instead of the site's"
    )
    report.add_argument("--format", choices=["text", "csv", "json"], default="text")

    backup = commands.add_parser("backup", help="all data of a site into one file, also while its service runs")
    backup.add_argument("site", type=Path)
    backup.add_argument("file", type=Path, help="a new file")

    restore = commands.add_parser("restore", help="a site's data as they were in a backup")
    restore.add_argument("file", type=Path)
    restore.add_argument("site", type=Path)
    restore.add_argument("--force", action="store_true", help="move aside what the site's data directory holds")

    simulate = commands.add_parser("simulate", help="the controller against a simulated building, scored")
    simulate.add_argument("site", type=Path)
    simulate.add_argument("--start", default="2023-02-06", help="first scored day, local (default %(default)s)")
    simulate.add_argument("--days", type=int, default=14)
    simulate.add_argument("--learn", default="2023-01-09..2023-02-05", metavar="FROM..TO", help="days to learn from")
    simulate.add_argument("--seed", type=int, nargs="+", default=[1])
    simulate.add_argument(
        "--wire", action="store_true", help="real BACnet/IP and MQTT packets instead of simulated drivers"
    )
    simulate.add_argument("--only", choices=["bms", "rules", "plenum"], nargs="+", default=["bms", "rules", "plenum"])
    simulate.add_argument("--tune-baseline", action="store_true", help="tune the building's own BMS and write it down")
    simulate.add_argument("--json", action="store_true")

    demo = commands.add_parser("demo", help="a simulated building, controlled live, with its page")
    demo.add_argument(
        "--pace",
        type=float,
        default=60.0,
        help="simulated seconds a second (default %(default)s); 1 = processes of their own",
    )
    demo.add_argument("--port", type=int, default=8080)
    demo.add_argument("--seed", type=int, default=1)
    demo.add_argument("--data", type=Path, default=Path(".demo"), help="its throw-away directory (default %(default)s)")
    demo.add_argument("--site", type=Path, help="another simulated site's file (default: the town hall's)")
    return parser


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname, "from": record.name}
        return json.dumps({**line, "text": record.getMessage()})


def _log_to_stderr(*, as_json: bool, verbose: bool) -> None:
    to = logging.StreamHandler()
    to.setFormatter(
        _JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[to])
    for chatty in ("bacpypes3", "amqtt", "transitions", "mqtt", "asyncio", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _simulation(name: str) -> Callable[[argparse.Namespace], int]:
    for entry in entry_points(group="plenum.simulations"):
        if entry.name == name:
            return cast("Callable[[argparse.Namespace], int]", entry.load())
    raise LookupError(f"plenum {name} is not part of this installation: install the checkout with its extra `demo`")


def _check(args: argparse.Namespace) -> int:
    from controller.check import check_site, format_findings

    _, findings = check_site(args.site)
    if args.json:
        print(json.dumps([finding.as_json() for finding in findings], indent=1))
    elif findings:
        print(format_findings(findings), file=sys.stderr)
    else:
        print(f"{args.site}: ok")
    return WRONG_INPUT if findings else DONE


def _serve(args: argparse.Namespace) -> int:
    from optimiser.worker import Worker

    with Worker() as solver:  # it loads its libraries while we load ours
        return _on_site(args, solver)


def _on_site(args: argparse.Namespace, solver: "Worker | None" = None) -> int:
    from controller.check import check_site, format_findings

    site, findings = check_site(args.site)
    if site is None or findings:
        print(format_findings(findings), file=sys.stderr)
        return WRONG_INPUT
    if args.command == "report":
        from controller.report.command import report_on

        return report_on(site, args)
    if args.command in {"backup", "restore"}:
        from controller.keeping import back_up_site, restore_site

        return back_up_site(site, args) if args.command == "backup" else restore_site(site, args)
    from controller.commands import plan_once, serve

    return plan_once(site, args) if solver is None else serve(site, args, solver)


def run(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code and never raises for wrong input."""
    args = _parser().parse_args(argv)
    _log_to_stderr(as_json=args.log_json, verbose=args.verbose)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        if args.command == "check":
            return _check(args)
        if args.command in {"demo", "simulate"}:
            return _simulation(args.command)(args)
        return _serve(args) if args.command == "run" else _on_site(args)
    except LookupError as error:
        print(f"plenum: {error.args[0]}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
