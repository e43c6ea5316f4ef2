"""The batch plan: rows and goals of every optimizer step, drawn from the seed and saved before training.

Training runs the plan in order, as a single epoch of the trainer. Resuming is exact, methods can be compared at equal
budgets, and two runs of the same plan see the same text. A row of `plan.parquet`:
    {"step": 0, "micro": 0, "sequence": 0, "row": 412, "goal": 0.5, "missed": 0.9, "tokens": 94, "weight": 1.0}
The goal is a level, or the number of a combination where rows have several scores (see `goals/combinations.py`), and
NaN if the row is trained without one. If the row has a copy under a goal that it misses, `missed` is that
goal, otherwise NaN. Plan rows of one sequence are the same feedback row under several goals, or feedback rows of one
prompt; `tokens` counts the tokens that row and copy add to the sequences of their forward pass.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import PLAN, read_table, write_columns
from gcsl_cli.errors import DataError
from gcsl_cli.training.batching import Batching, Measured, batches
from gcsl_cli.training.drawing import GoalSource, passed_pairs

WINDOW = 50
"""Optimizer steps whose rows are sorted by length together, to save padding; the steps are then shuffled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows of all steps, in order; every array is `(planned rows,)`."""

    step: Ints
    micro: Ints
    sequence: Ints
    row: Ints
    goal: Floats
    missed: Floats
    """A goal that the row misses, of its copy; NaN: no copy."""
    tokens: Ints
    weight: Floats
    """Loss weight; averages 1 over the supervised tokens of a step."""

    @staticmethod
    def of(step: Ints, micro: Ints, row: Ints, goal: Floats, tokens: Ints) -> "Plan":
        """Make a plan without shared prefixes and missed goals, and with equal weights."""
        none = np.full(len(row), np.nan)
        return Plan(step, micro, np.arange(len(row)), row, goal, none, tokens, np.ones(len(row)))

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return int(self.step[-1]) + 1

    def copy_weights(self, *, raw: bool) -> Floats:
        """Weights with which all copies under a missed goal together weigh as much as the rows trained under that goal.

        Returns:
            One weight per plan row, 0 without a copy, `(planned rows,)`. Copies under a goal that no row is trained
            under also have 0: they would only be pushed down. `raw`: nearly every score is a goal of its own, so all
            rows with a better goal than any copied row count as trained under the missed one.
        """
        weights = np.zeros(len(self.row))
        for missed in np.unique(self.missed[~np.isnan(self.missed)]):
            copies = self.missed == missed
            trained = self.goal > self.goal[copies].max() if raw else self.goal == missed
            weights[copies] = self.weight[trained].sum() / self.weight[copies].sum()
        return weights

    def micro_batches(self) -> Iterator[slice]:
        """Yield the rows of each forward pass, in order."""
        starts = np.flatnonzero(np.r_[True, np.diff(self.micro) != 0])
        for start, stop in zip(starts, np.r_[starts[1:], len(self.micro)], strict=True):
            yield slice(int(start), int(stop))

    def save(self, path: Path) -> None:
        """Write the plan as Parquet."""
        write_columns(path, PLAN, {name: getattr(self, name) for name in PLAN.names})


def load_plan(path: Path) -> Plan:
    """Read a plan written by `Plan.save`.

    Raises:
        DataError: the file is damaged, or was written by a version of gcsl whose plans had no missed goals.
    """
    try:
        table = read_table(path, PLAN)
    except DataError as error:
        if "no column 'missed'" not in str(error):
            raise
        raise DataError(
            f"{path}: made by an older version of gcsl, whose plans had no missed goals. Finish the run with that "
            "version, or repeat it with force=true."
        ) from error
    kinds = dict.fromkeys(("goal", "missed", "weight"), np.float64)
    return Plan(**{name: table[name].to_numpy().astype(kinds.get(name, np.int64)) for name in PLAN.names})


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on the size of a plan; infinite means no limit."""

    epochs: float = math.inf
    """Epochs over the pairs; a fraction takes the first part of the last epoch."""
    tokens: float = math.inf
    """Processed tokens; the plan ends with the step that reaches them."""
    supervised_tokens: float = math.inf
    """Supervised tokens; the plan ends with the step that reaches them."""
    steps: float = math.inf
    """Optimizer steps."""


Measure = Callable[[Ints, Floats, Floats, Ints], Measured]
"""Count the tokens of pairs by their rows, goals, missed goals (NaN: no copy) and sequence numbers, all `(pairs,)`."""


def draw_plan(source: GoalSource, measure: Measure, budget: Budget, batching: Batching, seed: int) -> Plan:
    """Draw a complete plan from the seed.

    Args:
        source: the rows with their goals.
        measure: counts the tokens of pairs.
        budget: size of the plan; without a limit on epochs, epochs repeat until another limit is reached.
        batching: size of a step and of a forward pass.
        seed: seed of all random draws.

    Raises:
        DataError: there are fewer pairs than one step needs.
        ValueError: the budget sets no limit.
    """
    if budget == Budget():
        raise ValueError("a budget without any limit")
    drawing, reach = source.drawing, source.goals_of_rows
    drawn = source.passes(budget.epochs, np.random.default_rng(seed))
    grouping, dropping, missing = (np.random.default_rng([seed, stream]) for stream in (1, 2, 3))
    unit = 1 if batching.tokens_per_batch else batching.batch_size
    parts: list[tuple[NDArray[Any], ...]] = []
    sizes: list[Ints] = []
    sequences, steps_left, tokens_left, supervised_left = 0, budget.steps, budget.tokens, budget.supervised_tokens
    for rows, reached in _windows(drawn, WINDOW * batching.batch_size):
        goals = source.values(reached)
        if drawing.dropout:
            dropped = dropping.random(len(goals)) < drawing.dropout
            goals[dropped], reached[dropped] = np.nan, -1
        missed = source.missed(rows, reached, missing)
        usable = len(rows) // unit * unit
        if not batching.tokens_per_batch:
            usable = int(min(usable, steps_left * batching.batch_size))
        if not usable:
            break
        sequence = sequences + _sequences(rows[:usable], reached[:usable], source)
        sequences = int(sequence[-1]) + 1
        measured = measure(rows[:usable], goals[:usable], missed[:usable], sequence)
        supervised, added = measured.supervised, measured.added(np.arange(usable), batching.limit)
        # Apply the budget before grouping: row length correlates with level, so truncating afterwards would favor some
        # levels over others.
        taken = min(_within_budget(added, tokens_left, unit), _within_budget(supervised, supervised_left, unit))
        order, size = batches(sequence[:taken], measured, batching, grouping)
        size = size[: int(min(len(size), steps_left * batching.passes))]
        order = order[: size.sum()]
        if not len(order):
            break
        added = measured.added(order, batching.limit, size)
        columns = sequence, rows, goals, missed
        parts.append((*(column[order] for column in columns), added, supervised[order], reach[rows[order]]))
        sizes.append(size)
        steps_left -= len(size) // batching.passes
        tokens_left -= int(added.sum())
        supervised_left -= int(supervised[order].sum())
        if min(steps_left, tokens_left, supervised_left) <= 0:
            break
    if not parts:
        count = passed_pairs(source.pairs, budget.epochs)
        key = "batches_per_step" if batching.tokens_per_batch else "batch_size"
        smaller = f"train.batch_size={int(count)} or less" if key == "batch_size" and count >= 1 else "a smaller step"
        raise DataError(
            f"Training pairs: {count:g}, fewer than one step needs (train.{key}={getattr(batching, key)}). "
            f"Use {smaller}, more epochs (train.budget.epochs) or more feedback."
        )
    sequence, row, goal, misses, token, supervised, more = (np.concatenate(part) for part in zip(*parts, strict=True))
    size = np.concatenate(sizes)
    micro = np.repeat(np.arange(len(size)), size)
    step = micro // batching.passes
    weight = np.ones(len(row)) if drawing.weighting == "pairs" else _row_weights(more, supervised, step)
    return Plan(step, micro, sequence, row, goal, misses, token, weight)


def _windows(pairs: Iterator[tuple[Ints, Ints]], size: int) -> Iterator[tuple[Ints, Ints]]:
    """Regroup the pairs of epochs into windows of `size`; the last window may be shorter."""
    rows = levels = np.empty(0, dtype=np.int64)
    for more, reached in pairs:
        rows, levels = np.concatenate([rows, more]), np.concatenate([levels, reached])
        while len(rows) >= size:
            yield rows[:size], levels[:size]
            rows, levels = rows[size:], levels[size:]
    if len(rows):
        yield rows, levels


def _sequences(rows: Ints, reached: Ints, source: GoalSource) -> Ints:
    """Sequence number of each pair: adjacent pairs of one prompt or row share a number if the drawing groups them."""
    if source.drawing.rows_per_prompt > 1:
        rows = source.shared_text(rows, reached)
    elif not source.drawing.together:
        return np.arange(len(rows))
    return np.cumsum(np.r_[False, np.diff(rows) != 0])


def _within_budget(amounts: Ints, budget: float, unit: int) -> int:
    """Number of pairs, a multiple of `unit`, needed to reach `budget`; all pairs if they do not reach it."""
    count = int(np.searchsorted(np.cumsum(amounts), budget)) + 1
    return min(-(-count // unit) * unit, len(amounts))


def _row_weights(highest: Ints, supervised: Ints, step: Ints) -> Floats:
    """Weights that give every row the same total weight, however many goals it reaches; they average 1 in each step."""
    weights = 1.0 / (highest + 1)
    total = np.bincount(step, weights=supervised)
    weighted = np.bincount(step, weights=weights * supervised)
    return weights * (total / weighted)[step]
