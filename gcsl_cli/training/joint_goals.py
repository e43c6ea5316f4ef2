"""Draw the goals of rows with several scores: combinations that a row reaches, and one missed part at a time.

A row of helpfulness level 2 and verbosity level 1 may be trained under (1, 0), under (2, -1), which asks for
helpfulness alone, and with a copy under (1, 2), whose verbosity it misses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.goals.combinations import Table, below, combination, left_open, numbered
from gcsl_cli.goals.relabel import missed_levels
from gcsl_cli.training.drawing import Drawing, epochs_of


@dataclass(frozen=True)
class JointGoals:
    """The goals of rows with several scores, as a plan draws them; see `GoalSource`."""

    highest: Ints
    """The highest level of each part that each row reaches, -1 where its score is not known, `(rows, parts)`."""
    levels: Sequence[Floats]
    """The levels of each part, ascending."""
    prompts: Ints
    drawing: Drawing
    parts_dropout: float = 0.0
    """Share of single parts that are left open."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Levels of each part."""
        return tuple(map(len, self.levels))

    @cached_property
    def table(self) -> Table:
        """Which combinations rows have and reach."""
        return Table(self.highest, self.counts, exact=self.drawing.formulation == "exact")

    @property
    def pairs(self) -> int:
        """Pairs of an epoch: one goal a row."""
        return len(self.highest)

    @property
    def goals_of_rows(self) -> Ints:
        """Additional goals of each row, `(rows,)`: none, since a row is drawn with one goal at a time."""
        return np.zeros(len(self.highest), dtype=np.int64)

    def passes(self, epochs: float, generator: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
        """Yield rows and numbers of their goals, `(pairs,)` each, for every epoch; the last one may be partial."""
        return epochs_of(self._drawn, self.shared_text, self.drawing, epochs, generator) if self.pairs else iter(())

    def _drawn(self, generator: np.random.Generator) -> tuple[Ints, Ints]:
        if self.drawing.balance == "levels":
            rows, goals = self.table.balanced(len(self.highest), generator)
        else:
            rows = generator.permutation(len(self.highest))
            goals = self.highest[rows] if self.table.exact else below(self.highest[rows], generator)
        if self.parts_dropout:
            goals = left_open(goals, self.parts_dropout, generator)
        # A row none of whose scores is known has no goal.
        return rows, np.nan_to_num(numbered(goals, self.counts), nan=-1.0).astype(np.int64)

    @cached_property
    def best(self) -> list[int]:
        """The best level of each part that any row reaches."""
        return [int(level) for level in self.highest.max(axis=0)]

    def values(self, reached: Ints) -> Floats:
        """The goals as a plan stores them: their numbers."""
        return np.where(reached < 0, np.nan, reached.astype(np.float64))

    def missed(self, rows: Ints, reached: Ints, generator: np.random.Generator) -> Floats:
        """Draw a goal that the row of each pair misses in one part, else as it is trained; NaN for none, `(pairs,)`.

        The part is drawn among those that are asked for and missed, and whose goal some row reaches.
        """
        rule = self.drawing
        if rule.missed == "none":
            return np.full(len(rows), np.nan)
        own = combination(np.where(reached < 0, 0, reached).astype(np.float64), self.counts)
        goals = np.full((len(self.counts), len(rows)), np.nan)
        for part, levels in enumerate(self.levels):
            level = missed_levels(
                np.maximum(self.highest[rows, part], 0),
                levels,
                self.best[part],
                rule=rule.missed,
                gap=rule.missed_gap,
                generator=generator,
            )
            raised = own.copy()
            raised[:, part] = level
            missing = (level >= 0) & (own[:, part] >= 0) & self.table.is_reached(raised)
            goals[part, missing] = numbered(raised, self.counts)[missing]
        among = np.where(np.isnan(goals), -1.0, generator.random(goals.shape))
        return np.asarray(np.take_along_axis(goals, among.argmax(axis=0)[None], axis=0)[0])

    def shared_text(self, rows: Ints, reached: Ints) -> Ints:
        """Number the text that each pair starts with, `(pairs,)`; the numbers of combinations may be huge."""
        return self.drawing.shared_text(self.prompts[rows], np.unique(reached, return_inverse=True)[1])
