"""How long a warm re-solve takes, beside a hand-built matrix model of the same instance: `python -m bench.resolve`.

Both start from the Problem's arrays and end with values and duals as arrays; both run in this process, one after the
other on every instance, in changing order. CPU time, so that a busy machine disturbs little.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import TypeVar

import numpy as np

from bench.instance import Instances
from bench.matrices import Matrices
from optimiser.numbers import Numbers, numbers
from optimiser.outcome import Solution, plan
from optimiser.problem import Problem
from optimiser.solve import Limits, Session, Solver
from optimiser.structure import structure_of
from optimiser.theta import parameters

T = TypeVar("T")

LARGEST_RATIO = 1.3
SAME = 1e-6


def timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = process_time()
    result = work()
    return (process_time() - begun) * 1e3, result


def _by_us(solver: Solver, problem: Problem, values: Numbers, session: Session) -> Solution:
    compiled = session.compiled
    return solver.solve(parameters(problem, session.structure, values, compiled.layout, compiled.size))


def compare(zones: int, rounds: int) -> dict[str, float]:
    """Return medians in ms for one size."""
    instances = Instances(zones)
    first = instances.next()
    structure = structure_of(first)
    compiling, session = timed(partial(Session, structure))
    ours = Solver(session.compiled, Limits())
    hand = Matrices(first, structure, numbers(first, structure))
    rows: list[dict[str, float]] = []
    for turn in range(rounds + 2):
        problem = instances.next()
        reading, values = timed(partial(numbers, problem, structure))
        by_us = partial(_by_us, ours, problem, values, session)
        by_hand = partial(hand.solve, problem, values)
        if turn % 2:
            our_ms, found = timed(by_us)
            hand_ms, other = timed(by_hand)
        else:
            hand_ms, other = timed(by_hand)
            our_ms, found = timed(by_us)
        planning, _ = timed(partial(plan, problem, structure, values, found))
        difference = abs(found.objective - other[0]) / max(1.0, abs(other[0]))
        rows.append(
            {"ours": our_ms, "hand": hand_ms, "reading": reading, "planning": planning, "difference": difference}
        )
    warm = rows[2:]
    result = {name: float(np.median([row[name] for row in warm])) for name in ("ours", "hand", "reading", "planning")}
    pairs = [row["ours"] / row["hand"] for row in warm]
    return result | {
        "ratio": result["ours"] / result["hand"],
        "paired": float(np.median(pairs)),
        "difference": max(row["difference"] for row in rows),
        "compiling": compiling,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zones", type=int, nargs="+", default=[1, 5, 10, 20, 50])
    parser.add_argument("--rounds", type=int, default=24)
    options = parser.parse_args()
    print("zones  compile   read  re-solve  by hand  ratio  (paired)  plan   total   objective")
    good = True
    for zones in options.zones:
        found = compare(zones, options.rounds)
        total = found["reading"] + found["ours"] + found["planning"]
        print(
            f"{zones:5d} {found['compiling']:7.0f} {found['reading']:7.2f} {found['ours']:9.2f} {found['hand']:8.2f} "
            f"{found['ratio']:6.2f} {found['paired']:8.2f} {found['planning']:6.2f} {total:7.2f}   "
            f"differs {found['difference']:.0e}",
            flush=True,
        )
        good = good and found["ratio"] <= LARGEST_RATIO and found["difference"] <= SAME
    print("all in ms of CPU, medians" if good else "ratio or objective out of bounds")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
