"""The batch plan: before training, every optimizer step's rows and goals are drawn from the seed and written down.

Training then runs the plan in order, as one pass of the trainer: resuming is exact, methods can be compared at equal
budgets, and two runs of the same plan see the same text. A plan row (`plan.parquet`):
    {"step": 0, "micro": 0, "sequence": 0, "row": 412, "goal": 0.9, "tokens": 47, "weight": 1.0}
The goal is NaN where the row is trained without one. Neighbours of one sequence are the same feedback row under several
goals, or rows of one prompt; `tokens` are those that the row adds to its sequence.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.records import PLAN, read_table, write_columns
from gcsl_cli.errors import DataError
from gcsl_cli.training.batching import Batching, added_tokens, batches
from gcsl_cli.training.branches import computed_tokens, sequence_starts
from gcsl_cli.training.drawing import Drawing, passed_pairs, passes, planned_pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
WINDOW = 50
"""Optimizer steps among which rows are sorted by length, to save padding, before the steps are shuffled again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of all steps in order; every array is `(planned rows,)`."""

    step: Ints
    micro: Ints
    sequence: Ints
    row: Ints
    goal: Floats
    tokens: Ints
    weight: Floats
    """Loss weight; 1 on average over the supervised tokens of a step."""

    @staticmethod
    def of(step: Ints, micro: Ints, row: Ints, goal: Floats, tokens: Ints) -> "Plan":
        """A plan in which every row is a sequence by itself and all count alike."""
        return Plan(step, micro, np.arange(len(row)), row, goal, tokens, np.ones(len(row)))

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return int(self.step[-1]) + 1

    def micro_batches(self) -> Iterator[slice]:
        """The rows of each forward pass, in order."""
        starts = np.flatnonzero(np.r_[True, np.diff(self.micro) != 0])
        for start, stop in zip(starts, np.r_[starts[1:], len(self.micro)], strict=True):
            yield slice(int(start), int(stop))

    def save(self, path: Path) -> None:
        """Write the plan as Parquet."""
        write_columns(path, PLAN, {name: getattr(self, name) for name in PLAN.names})


def load_plan(path: Path) -> Plan:
    """Read a plan that `Plan.save` wrote."""
    table = read_table(path, PLAN)
    kinds = {"goal": np.float64, "weight": np.float64}
    return Plan(**{name: table[name].to_numpy().astype(kinds.get(name, np.int64)) for name in PLAN.names})


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a plan holds; what is infinite does not limit it."""

    epochs: float = math.inf
    """Passes over the pairs; a fraction takes the first part of the last one."""
    tokens: float = math.inf
    """The steps that it takes to reach this many processed tokens."""
    supervised_tokens: float = math.inf
    """The same for tokens that the loss counts."""
    steps: float = math.inf


Measure = Callable[[Ints, Floats, Ints], tuple[Ints, Ints, Ints]]
"""From (row, goal) pairs and the sequence of each to their tokens, the supervised ones among them, and those that each
shares with the one before it, all `(pairs,)`.
"""


def build_plan(
    highest: Ints,
    prompts: Ints,
    levels: Floats,
    measure: Measure,
    drawing: Drawing,
    budget: Budget,
    batching: Batching,
    seed: int,
) -> Plan:
    """Draw the whole training from the seed.

    Args:
        highest: index of the highest level that each training row reaches, `(rows,)`.
        prompts: a number for each row's prompt, `(rows,)`.
        levels: the goals, `(levels,)`.
        measure: tokens of pairs.
        drawing: how rows and goals are drawn.
        budget: how much is drawn; without a limit of epochs, pass after pass until another limit is reached.
        batching: how much a step and a forward pass take.
        seed: of every draw.

    Raises:
        DataError: there are fewer pairs than one step takes.
        ValueError: nothing limits the plan.
    """
    if budget == Budget():
        raise ValueError("a budget without any limit")
    drawn = passes(highest, prompts, drawing, budget.epochs, np.random.default_rng(seed))
    grouping, dropping = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    unit = 1 if batching.tokens_per_batch else batching.batch_size
    parts: list[tuple[NDArray[Any], ...]] = []
    sizes: list[Ints] = []
    sequences, steps, left, left_supervised = 0, budget.steps, budget.tokens, budget.supervised_tokens
    for rows, reached in _windows(drawn, WINDOW * batching.batch_size):
        goals = levels[reached]
        if drawing.dropout:
            without = dropping.random(len(goals)) < drawing.dropout
            goals[without], reached[without] = np.nan, -1
        whole = len(rows) // unit * unit
        if not batching.tokens_per_batch:
            whole = int(min(whole, steps * batching.batch_size))
        if not whole:
            break
        sequence = sequences + _sequences(rows[:whole], reached[:whole], prompts, drawing)
        sequences = int(sequence[-1]) + 1
        tokens, supervised, shared = measure(rows[:whole], goals[:whole], sequence)
        added = computed_tokens(tokens, shared, sequence_starts(tokens, shared, batching.limit))
        # Cut before rows are grouped: the length of a row goes with its level, so that cutting afterwards would take
        # more of one level than of another.
        taken = min(_reaching(added, left, unit), _reaching(supervised, left_supervised, unit))
        order, size = batches(sequence[:taken], tokens[:taken], shared[:taken], added[:taken], batching, grouping)
        size = size[: int(min(len(size), steps * batching.passes))]
        order = order[: size.sum()]
        if not len(order):
            break
        added = added_tokens(order, size, tokens, shared, batching.limit)
        parts.append((sequence[order], rows[order], goals[order], added, supervised[order], highest[rows[order]]))
        sizes.append(size)
        steps -= len(size) // batching.passes
        left -= int(added.sum())
        left_supervised -= int(supervised[order].sum())
        if min(steps, left, left_supervised) <= 0:
            break
    if not parts:
        count = passed_pairs(planned_pairs(highest, drawing), budget.epochs)
        key = "batches_per_step" if batching.tokens_per_batch else "batch_size"
        raise DataError(
            f"There are {count:g} training pairs, fewer than one step takes (train.{key}={getattr(batching, key)}). "
            "Use a smaller step, more epochs (train.budget.epochs) or more feedback."
        )
    sequence, row, goal, token, supervised, best = (np.concatenate(column) for column in zip(*parts, strict=True))
    size = np.concatenate(sizes)
    micro = np.repeat(np.arange(len(size)), size)
    step = micro // batching.passes
    weight = np.ones(len(row)) if drawing.weighting == "pairs" else _once_a_row(best, supervised, step)
    return Plan(step, micro, sequence, row, goal, token, weight)


def _windows(pairs: Iterator[tuple[Ints, Ints]], size: int) -> Iterator[tuple[Ints, Ints]]:
    """The same pairs, `size` at a time; the last window may be shorter."""
    rows = levels = np.empty(0, dtype=np.int64)
    for more, reached in pairs:
        rows, levels = np.concatenate([rows, more]), np.concatenate([levels, reached])
        while len(rows) >= size:
            yield rows[:size], levels[:size]
            rows, levels = rows[size:], levels[size:]
    if len(rows):
        yield rows, levels


def _sequences(rows: Ints, levels: Ints, prompts: Ints, drawing: Drawing) -> Ints:
    """A number for each run of the same prompt or row, or for each pair, as they are drawn."""
    if drawing.rows_per_prompt > 1:
        rows = drawing.shared_text(prompts[rows], levels)
    elif not drawing.together:
        return np.arange(len(rows))
    return np.cumsum(np.r_[False, np.diff(rows) != 0])


def _reaching(amounts: Ints, budget: float, unit: int) -> int:
    """How many pairs, a multiple of `unit`, it takes to reach `budget`; all of them if it is not reached."""
    count = int(np.searchsorted(np.cumsum(amounts), budget)) + 1
    return min(-(-count // unit) * unit, len(amounts))


def _once_a_row(highest: Ints, supervised: Ints, step: Ints) -> Floats:
    """Weights under which a row counts once in all, however many goals it reaches; 1 on average in each step."""
    weights = 1.0 / (highest + 1)
    total = np.bincount(step, weights=supervised)
    weighted = np.bincount(step, weights=weights * supervised)
    return weights * (total / weighted)[step]
