"""The batch plan: before training, every optimizer step's rows and goals are drawn from the seed and written down.

Training then runs the plan in order, as one pass of the trainer: resuming is exact, methods can be compared at equal
budgets, and two runs of the same plan see the same text. A plan row (`plan.parquet`):
    {"step": 0, "micro": 0, "row": 412, "goal": 0.9, "tokens": 47}
The goal is NaN where the row is trained without one.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.records import PLAN, read_table, write_columns
from gcsl_cli.relabel import reached_pairs, sampled_levels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
WINDOW = 50
"""Optimizer steps among which rows are sorted by length, to save padding, before the steps are shuffled again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of all steps in order; every array is `(planned rows,)`."""

    step: Ints
    micro: Ints
    row: Ints
    goal: Floats
    tokens: Ints

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
    columns = {name: table[name].to_numpy() for name in PLAN.names}
    goal = columns.pop("goal").astype(np.float64)
    return Plan(**{name: column.astype(np.int64) for name, column in columns.items()}, goal=goal)


@dataclass(frozen=True, slots=True)
class Drawing:
    """How rows and goals are drawn."""

    formulation: str
    """`threshold` or `exact`."""
    pairing: str
    """`all` or `sample`."""
    balance: str
    """`none` or `levels`."""
    dropout: float = 0.0
    """Share of rows without a goal."""


def draw_pairs(highest: Ints, drawing: Drawing, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """The (row, level) pairs of one epoch in random order, two arrays `(pairs,)`.

    `highest` is the highest level that each row reaches. Exact goals pair each row with that level. Threshold goals
    take all reached pairs (`all`) or one reached level a row (`sample`). With `balance=levels` as many pairs are drawn
    as without it, so that every level gets an equal share, and within a level every bin of rows (those with the same
    highest level) that serves it gets an equal share, as ALT does for its bins; the rows of a bin go round in random
    order, so none comes twice before all have come once.
    """
    for key, value, allowed in (
        ("formulation", drawing.formulation, ("threshold", "exact", "none")),
        ("pairing", drawing.pairing, ("all", "sample", "none")),
        ("balance", drawing.balance, ("none", "levels")),
    ):
        if value not in allowed:
            raise ConfigError(f"goal.{key}={value}: unknown; one of {', '.join(allowed)}.")
    exact, every = drawing.formulation == "exact", drawing.pairing == "all"
    if drawing.balance == "levels":
        count = len(highest) if exact or not every else int((highest + 1).sum())
        return _balanced_pairs(highest, count, exact, generator)
    if exact or drawing.formulation == "none":
        rows, levels = np.arange(len(highest)), highest
    elif every:
        rows, levels = reached_pairs(highest)
    else:
        rows, levels = np.arange(len(highest)), sampled_levels(highest, generator)
    order = generator.permutation(len(rows))
    return rows[order], levels[order]


def _balanced_pairs(highest: Ints, count: int, exact: bool, generator: np.random.Generator) -> tuple[Ints, Ints]:
    bins = np.unique(highest)
    asked = bins if exact else np.arange(int(bins[-1]) + 1)
    # Round after round of all levels, each in random order: equal shares wherever the budget cuts the epoch off.
    rounds = np.tile(asked, (-(-count // len(asked)), 1))
    levels = generator.permuted(rounds, axis=1).reshape(-1)[:count]
    first = np.searchsorted(bins, levels)
    chosen = levels if exact else bins[generator.integers(first, len(bins))]
    rows = np.empty(count, dtype=np.int64)
    for bin_ in bins:
        places = np.flatnonzero(chosen == bin_)
        members = np.flatnonzero(highest == bin_)
        times = -(-len(places) // len(members))
        drawn = np.concatenate([generator.permutation(members) for _ in range(times)]) if times else members[:0]
        rows[places] = drawn[: len(places)]
    return rows, levels


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


def build_plan(
    highest: Ints,
    levels: Floats,
    measure: Callable[[Ints, Floats], tuple[Ints, Ints]],
    drawing: Drawing,
    budget: Budget,
    *,
    batch_size: int,
    micro_batch_size: int,
    seed: int,
) -> Plan:
    """Draw the whole training from the seed.

    Args:
        highest: index of the highest level that each training row reaches, `(rows,)`.
        levels: the goals, `(levels,)`.
        measure: processed and supervised tokens of (row, goal) pairs: two arrays `(n,)` to two.
        drawing: how rows and goals are drawn.
        budget: how much is drawn; without a limit of epochs, pass after pass until another limit is reached.
        batch_size: rows an optimizer step.
        micro_batch_size: rows a forward pass.
        seed: of every draw.

    Raises:
        DataError: there are fewer pairs than one batch.
        ValueError: nothing limits the plan.
    """
    if budget == Budget():
        raise ValueError("a budget without any limit")
    passes = _passes(highest, drawing, budget.epochs, np.random.default_rng(seed))
    grouping, dropping = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    parts: list[tuple[Ints, Floats, Ints]] = []
    steps, left, left_supervised = budget.steps, budget.tokens, budget.supervised_tokens
    for rows, reached in _windows(passes, WINDOW * batch_size):
        goals = levels[reached]
        if drawing.dropout:
            goals[dropping.random(len(goals)) < drawing.dropout] = np.nan
        whole = int(min(len(rows) // batch_size, steps)) * batch_size
        if not whole:
            break
        tokens, supervised = measure(rows[:whole], goals[:whole])
        # Cut before rows are grouped: the length of a row goes with its level, so that cutting afterwards would take
        # more of one level than of another.
        taken = min(_steps_within(tokens, batch_size, left), _steps_within(supervised, batch_size, left_supervised))
        tokens = tokens[: taken * batch_size]
        order = _grouped_by_length(tokens, batch_size, grouping)
        parts.append((rows[order], goals[order], tokens[order]))
        steps -= taken
        left -= int(tokens.sum())
        left_supervised -= int(supervised[: taken * batch_size].sum())
        if min(steps, left, left_supervised) <= 0:
            break
    if not parts:
        count = passed_pairs(planned_pairs(highest, drawing), budget.epochs)
        raise DataError(
            f"There are {count:g} training pairs, fewer than one batch (train.batch_size={batch_size}). "
            "Use a smaller batch, more epochs (train.budget.epochs) or more feedback."
        )
    row, token = (np.concatenate([part[index] for part in parts]) for index in (0, 2))
    goal = np.concatenate([part[1] for part in parts])
    place = np.arange(len(row))
    step = place // batch_size
    micro = step * -(-batch_size // micro_batch_size) + place % batch_size // micro_batch_size
    return Plan(step, micro, row, goal, token)


def planned_pairs(highest: Ints, drawing: Drawing) -> int:
    """How many pairs one epoch has."""
    every = drawing.formulation == "threshold" and drawing.pairing == "all"
    return int((highest + 1).sum()) if every else len(highest)


def passed_pairs(pairs: int, epochs: float) -> float:
    """How many pairs `epochs` passes have; infinite passes have infinitely many."""
    if math.isinf(epochs):
        return math.inf
    whole = int(epochs)
    return pairs * whole + round(pairs * (epochs - whole))


def _passes(
    highest: Ints, drawing: Drawing, epochs: float, generator: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """The (row, level) pairs of one epoch after another, the last one perhaps a part of one."""
    left = epochs
    while left > 1e-9 and len(highest):
        rows, levels = draw_pairs(highest, drawing, generator)
        count = round(len(rows) * min(1.0, left))
        yield rows[:count], levels[:count]
        left -= 1


def _windows(passes: Iterator[tuple[Ints, Ints]], size: int) -> Iterator[tuple[Ints, Ints]]:
    """The same pairs, `size` at a time; the last window may be shorter."""
    rows = levels = np.empty(0, dtype=np.int64)
    for more, reached in passes:
        rows, levels = np.concatenate([rows, more]), np.concatenate([levels, reached])
        while len(rows) >= size:
            yield rows[:size], levels[:size]
            rows, levels = rows[size:], levels[size:]
    if len(rows):
        yield rows, levels


def _grouped_by_length(tokens: Ints, batch_size: int, generator: np.random.Generator) -> Ints:
    """An order in which the rows of a step have similar lengths, the steps themselves in random order."""
    batches = np.argsort(tokens, kind="stable").reshape(-1, batch_size)
    return generator.permutation(batches).reshape(-1)


def _steps_within(tokens: Ints, batch_size: int, budget: float) -> int:
    """How many steps it takes to reach `budget` tokens, all of them if it is not reached."""
    totals = np.cumsum(tokens.reshape(-1, batch_size).sum(axis=1))
    return min(int(np.searchsorted(totals, budget)) + 1, len(totals))
