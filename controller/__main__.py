"""The `plenum` command; the one place that turns any failure into an exit code."""

import sys

from controller.cli import run


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
