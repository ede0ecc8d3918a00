"""A compiled model that stays loaded in HiGHS and is solved again and again from its last basis."""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from optimiser.compile import Compiled, Floats, compile_model
from optimiser.model import build
from optimiser.numbers import numbers
from optimiser.outcome import Solution, plan
from optimiser.problem import Plan, Problem, SolverFailed, Status
from optimiser.structure import Structure, structure_of
from optimiser.theta import parameters

DEVEX, CHOOSE = 1, -1  # HiGHS: simplex_dual_edge_weight_strategy
EQUILIBRATE = 3  # HiGHS: simplex_scale_strategy; a quarter fewer iterations on a re-solve than its own choice
COLUMNWISE = 1
MINIMISE = 1
MANY = 1500  # so many changed coefficients are passed as a new model under the old basis
ITERATIONS = 500_000  # per solve when there is no time limit: far above what any plan needs
KEPT = 8  # compiled structures


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop a solve that does not end.

    `time_s` is the machine's time, so a plan may differ from run to run; None stops by iterations alone, and the
    plan carries no solver time: equal Problems in equal order then give equal Plans to the bit.
    """

    time_s: float | None = None
    iterations: int = ITERATIONS


class Session:
    """One structure's model, compiled and loaded. Not for use by two threads at once."""

    def __init__(self, structure: Structure, *, limits: Limits | None = None) -> None:
        self.structure = structure
        self.compiled = compile_model(build(structure))
        self._limits = limits or Limits()
        self._solver = Solver(self.compiled, self._limits)

    def solve(self, problem: Problem) -> Plan:
        """Return the plan for a Problem of this structure.

        Raises ValueError for a Problem of another structure or with numbers that cannot be used, SolverFailed where
        the solver finds no answer even from a cold start.
        """
        found = structure_of(problem)
        if found != self.structure:
            raise ValueError("the problem has another structure than this session")
        values = numbers(problem, found)
        theta = parameters(problem, found, values, self.compiled.layout, self.compiled.size)
        return plan(problem, found, values, self._solver.solve(theta))


class Sessions:
    """Sessions by structure, the least recently used one dropped first."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits
        self._sessions: dict[Structure, Session] = {}

    def solve(self, problem: Problem) -> Plan:
        """Solve as `Session.solve` does; compiles a structure when it is first seen."""
        structure = structure_of(problem)
        session = self._sessions.pop(structure, None) or Session(structure, limits=self._limits)
        self._sessions[structure] = session
        if len(self._sessions) > KEPT:
            del self._sessions[next(iter(self._sessions))]
        return session.solve(problem)


class Solver:
    """HiGHS with one compiled model in it: theta in, values and duals out."""

    def __init__(self, compiled: Compiled, limits: Limits) -> None:
        self._compiled = compiled
        self._limits = limits
        self._highs: Any = highspy.Highs()
        self._loaded: Floats | None = None  # the numbers now in the solver
        order = np.lexsort((compiled.entry_rows, compiled.entry_columns))
        filled = np.bincount(compiled.entry_columns, minlength=compiled.column_count)
        self._starts: NDArray[np.int32] = np.concatenate(([0], filled.cumsum())).astype(np.int32)
        self._rows: NDArray[np.int32] = compiled.entry_rows[order]
        self._order: NDArray[np.int64] = order  # the entry at each place of the column-wise matrix
        self._every_row = np.arange(compiled.row_count, dtype=np.int32)
        self._integrality = np.zeros(compiled.column_count, dtype=np.int32)
        for name, value in (
            ("output_flag", False),
            ("threads", 1),
            ("solver", "simplex"),
            ("presolve", "off"),
            ("random_seed", 0),
            ("simplex_scale_strategy", EQUILIBRATE),
        ):
            self._highs.setOptionValue(name, value)

    def solve(self, theta: Floats) -> Solution:
        """Return the optimum at these parameters; raises SolverFailed without one."""
        now = self._compiled.numbers(theta)
        self._load(now)
        before = self._highs.getRunTime()
        status = self._run(before)
        self._highs.setOptionValue("simplex_dual_edge_weight_strategy", DEVEX)
        spent = 0.0 if self._limits.time_s is None else self._highs.getRunTime() - before
        solution = self._highs.getSolution()
        duals = np.array(solution.row_dual)
        compiled = self._compiled
        return Solution(
            status=status,
            columns=compiled.columns,
            values=np.array(solution.col_value),
            row_duals={name: duals[compiled.rows[name]] * compiled.row_signs[name] for name in ("balance",)},
            objective=self._highs.getObjectiveValue(),
            solve_s=spent,
        )

    def _run(self, before: float) -> Status:
        highs = self._highs
        if self._limits.time_s is not None:
            highs.setOptionValue("time_limit", before + self._limits.time_s)  # HiGHS counts over all its runs
        highs.setOptionValue("simplex_iteration_limit", self._limits.iterations)
        highs.run()
        answer = highs.getModelStatus()
        if answer == highspy.HighsModelStatus.kOptimal:
            return Status.OPTIMAL
        limited = (highspy.HighsModelStatus.kTimeLimit, highspy.HighsModelStatus.kIterationLimit)
        if answer not in limited:  # a bad basis, not a bad problem: everything wished for is soft
            answer = self._cold()
            if answer == highspy.HighsModelStatus.kOptimal:
                return Status.OPTIMAL
        feasible = highs.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if answer in limited and feasible:
            return Status.LIMIT
        highs.clearSolver()
        raise SolverFailed(f"the solver answered: {highs.modelStatusToString(answer)}")

    def _cold(self) -> Any:
        """Solve from nothing, as before and then in the solver's own way; return the last answer."""
        highs, answer = self._highs, None
        for presolve, weights in (("off", DEVEX), ("on", CHOOSE)):
            highs.clearSolver()
            highs.setOptionValue("presolve", presolve)
            highs.setOptionValue("simplex_dual_edge_weight_strategy", weights)
            highs.run()
            highs.setOptionValue("presolve", "off")
            answer = highs.getModelStatus()
            if answer == highspy.HighsModelStatus.kOptimal:
                break
        return answer

    def _load(self, now: Floats) -> None:
        before, entries = self._loaded, self._compiled.parts["entries"]
        if before is None:
            self._pass(now)
        elif np.count_nonzero(now[entries] != before[entries]) > MANY:
            basis = self._highs.getBasis()
            self._pass(now)
            self._highs.setBasis(basis)
        else:
            self._change(before, now)
        self._loaded = now

    def _change(self, before: Floats, now: Floats) -> None:
        """Pass on what has changed, and only that."""
        compiled, highs, parts = self._compiled, self._highs, self._compiled.parts
        moved = now != before
        places = np.flatnonzero(moved[parts["entries"]])
        values = now[parts["entries"]][places].tolist()
        rows, columns = compiled.entry_rows[places].tolist(), compiled.entry_columns[places].tolist()
        for row, column, value in zip(rows, columns, values, strict=True):
            highs.changeCoeff(row, column, value)
        for change, all_places, names in (
            (highs.changeRowsBounds, self._every_row, ("row_lower", "row_upper")),
            (highs.changeColsBounds, compiled.bounded, ("lower", "upper")),
            (highs.changeColsCost, compiled.priced, ("cost",)),
        ):
            some = np.logical_or.reduce([moved[parts[name]] for name in names])
            chosen = all_places[some]
            change(len(chosen), chosen, *(now[parts[name]][some] for name in names))
        highs.changeObjectiveOffset(now[parts["offset"]][0])

    def _pass(self, now: Floats) -> None:
        compiled, parts = self._compiled, self._compiled.parts
        cost, lower, upper = compiled.cost.copy(), compiled.lower.copy(), compiled.upper.copy()
        cost[compiled.priced] = now[parts["cost"]]
        lower[compiled.bounded] = now[parts["lower"]]
        upper[compiled.bounded] = now[parts["upper"]]
        entries = compiled.entries.copy()
        entries[: compiled.moving] = now[parts["entries"]]
        self._highs.passModel(
            compiled.column_count,
            compiled.row_count,
            len(entries),
            COLUMNWISE,
            MINIMISE,
            now[parts["offset"]][0],
            cost,
            lower,
            upper,
            now[parts["row_lower"]],
            now[parts["row_upper"]],
            self._starts,
            self._rows,
            entries[self._order],
            self._integrality,
        )
