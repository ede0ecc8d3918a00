"""Measurements: `./run bench` runs all, `./run bench NAME [OPTIONS]` one; ratios within one run, min and median."""

import subprocess
import sys

BENCHES = {
    "resolve": "warm re-solve against a hand-built HiGHS matrix model at 1, 5, 20 and 50 zones",
    "bacnet": "points a second by ReadPropertyMultiple, ours against the library's own",
    "building": "a minute of the simulated town hall, and a reading of it",
    "store": "readings appended, windows and half-hours read, beside plain SQLite",
    "history": "the page of a point's month at one minute, median and p99",
    "outbox": "50,000 readings a second into store and outbox; the back-log drained into InfluxDB against real time",
    "outage": "InfluxDB killed under the running service for ten minutes (--minutes): nothing lost, nothing doubled",
    "fleet": "10,000 points at one-minute polling: share of a core, memory, drops",
    "latency": "demand limit to dimmer, and price change to setpoint, on loopback",
    "fortnight": "a fortnight through the production path, with packets and with simulated drivers",
    "power": "150 simulated power cuts: nothing corrupt, no acknowledged command, lease or audit row lost",
    "year": "a year of the primary school with simulated drivers, beside its own BMS",
    "kill": "killed with -9 twenty times: nothing acknowledged lost, in control again",
}


def main(arguments: list[str]) -> int:
    """Run each bench alone, in a process of its own, one after the other; options are the one bench's own."""
    begin = next((n for n, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    names, options = arguments[:begin], arguments[begin:]
    if options and len(names) != 1:
        print("bench: options belong to one bench: ./run bench NAME OPTIONS", file=sys.stderr)
        return 2
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: no {unknown[0]!r}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or list(BENCHES):
        print(f"\n== {name}: {BENCHES[name]}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"bench.{name}", *options], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
