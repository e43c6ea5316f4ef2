"""The batch plan: before training, every optimizer step's rows and goals are drawn from the seed and written down.

Training then runs the plan in order, as one pass of the trainer: resuming is exact, methods can be compared at equal
budgets, and two runs of the same plan see the same text. A plan row (`plan.parquet`):
    {"step": 0, "micro": 0, "row": 412, "level": 3, "tokens": 47}
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.records import PLAN, read_table, write_columns
from gcsl_cli.relabel import reached_pairs, sampled_levels

Ints = NDArray[np.int64]
WINDOW = 50
"""Optimizer steps among which rows are sorted by length, to save padding, before the steps are shuffled again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of all steps in order; every array is `(planned rows,)`."""

    step: Ints
    micro: Ints
    row: Ints
    level: Ints
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
    return Plan(**{name: table[name].to_numpy().astype(np.int64) for name in PLAN.names})


def draw_pairs(highest: Ints, pairing: str, balance: str, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """The (row, level) pairs of one epoch in random order, two arrays `(pairs,)`.

    `highest` is the highest level that each row reaches. Without balance these are all reached pairs (`all`) or one
    reached level a row (`sample`). With `balance=levels` as many pairs are drawn as without it, so that every level
    gets an equal share, and within a level every bin of rows (those with the same highest level) that reaches it gets
    an equal share, as ALT does for its bins; the rows of a bin go round in random order, so none comes twice before
    all have come once.
    """
    if pairing not in ("all", "sample"):
        raise ConfigError(f"goal.pairing={pairing}: unknown; one of all, sample.")
    if balance not in ("none", "levels"):
        raise ConfigError(f"goal.balance={balance}: unknown; one of none, levels.")
    if balance == "levels":
        count = int((highest + 1).sum()) if pairing == "all" else len(highest)
        return _balanced_pairs(highest, count, generator)
    if pairing == "all":
        rows, levels = reached_pairs(highest)
    else:
        rows, levels = np.arange(len(highest)), sampled_levels(highest, generator)
    order = generator.permutation(len(rows))
    return rows[order], levels[order]


def _balanced_pairs(highest: Ints, count: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    bins = np.unique(highest)
    # Round after round of all levels, each in random order: equal shares wherever the budget cuts the epoch off.
    rounds = np.tile(np.arange(int(bins[-1]) + 1), (-(-count // (int(bins[-1]) + 1)), 1))
    levels = generator.permuted(rounds, axis=1).reshape(-1)[:count]
    first = np.searchsorted(bins, levels)
    chosen = bins[generator.integers(first, len(bins))]
    rows = np.empty(count, dtype=np.int64)
    for bin_ in bins:
        places = np.flatnonzero(chosen == bin_)
        members = np.flatnonzero(highest == bin_)
        times = -(-len(places) // len(members))
        drawn = np.concatenate([generator.permutation(members) for _ in range(times)]) if times else members[:0]
        rows[places] = drawn[: len(places)]
    return rows, levels


def build_plan(
    highest: Ints,
    lengths: Callable[[Ints, Ints], Ints],
    *,
    pairing: str,
    balance: str,
    batch_size: int,
    micro_batch_size: int,
    epochs: float,
    max_tokens: int | None,
    max_steps: int | None,
    seed: int,
) -> Plan:
    """Draw the whole training from the seed.

    Args:
        highest: highest reached level of each training row, `(rows,)`.
        lengths: processed tokens of (row, level) pairs: two arrays `(n,)` to one.
        pairing: `all` or `sample`.
        balance: `none` or `levels`.
        batch_size: rows an optimizer step.
        micro_batch_size: rows a forward pass.
        epochs: passes; a fraction takes the first part of the last one.
        max_tokens: take only the steps that it needs to reach this many processed tokens.
        max_steps: stop after this many steps.
        seed: of every draw.

    Raises:
        DataError: there are fewer pairs than one batch.
    """
    rows, levels = _epochs(highest, pairing, balance, epochs, np.random.default_rng(seed))
    steps = len(rows) // batch_size
    if not steps:
        raise DataError(
            f"There are {len(rows)} training pairs, fewer than one batch (train.batch_size={batch_size}). "
            "Use a smaller batch, more epochs (train.epochs) or more feedback."
        )
    steps = min(steps, max_steps or steps)
    generator = np.random.default_rng([seed, 1])
    parts: list[tuple[Ints, Ints, Ints]] = []
    left = max_tokens if max_tokens is not None else np.inf
    for start in range(0, steps, WINDOW):
        window = slice(start * batch_size, min(start + WINDOW, steps) * batch_size)
        tokens = lengths(rows[window], levels[window])
        # Cut before rows are grouped: the length of a row goes with its level, so that cutting afterwards would take
        # more of one level than of another.
        tokens = tokens[: _steps_within(tokens, batch_size, left) * batch_size]
        order = _grouped_by_length(tokens, batch_size, generator)
        parts.append((rows[window][order], levels[window][order], tokens[order]))
        left -= int(tokens.sum())
        if left <= 0:
            break
    row, level, token = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    place = np.arange(len(row))
    step = place // batch_size
    micro = step * -(-batch_size // micro_batch_size) + place % batch_size // micro_batch_size
    return Plan(step, micro, row, level, token)


def _epochs(
    highest: Ints, pairing: str, balance: str, epochs: float, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    parts = []
    left = epochs
    while left > 1e-9:
        rows, levels = draw_pairs(highest, pairing, balance, generator)
        count = round(len(rows) * min(1.0, left))
        parts.append((rows[:count], levels[:count]))
        left -= 1
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([levels for _, levels in parts])


def _grouped_by_length(tokens: Ints, batch_size: int, generator: np.random.Generator) -> Ints:
    """An order in which the rows of a step have similar lengths, the steps themselves in random order."""
    batches = np.argsort(tokens, kind="stable").reshape(-1, batch_size)
    return generator.permutation(batches).reshape(-1)


def _steps_within(tokens: Ints, batch_size: int, budget: float) -> int:
    """How many steps it takes to reach `budget` tokens, all of them if it is not reached."""
    totals = np.cumsum(tokens.reshape(-1, batch_size).sum(axis=1))
    return min(int(np.searchsorted(totals, budget)) + 1, len(totals))
