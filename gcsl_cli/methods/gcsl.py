"""Goal-conditioned supervised learning (arXiv 2605.16345): each row is trained under the goals that it reaches.

Which goals there are, how a row is paired with them and how they read is the `goal` config group.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gcsl_cli.data.arrays import Ints
from gcsl_cli.data.records import GOAL_ROWS
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.levels import levels_of
from gcsl_cli.methods.parts import describe_parts, goal_levels, write_combinations
from gcsl_cli.methods.sft import Supervised
from gcsl_cli.runs.files import whole_file

if TYPE_CHECKING:
    from gcsl_cli.goals.levels import Levels
    from gcsl_cli.goals.spec import GoalSpec
    from gcsl_cli.training.examples import RowExamples
    from gcsl_cli.training.plan import Plan

CHUNK = 65_536
"""Rows whose (row, level) pairs are written at a time, so that memory stays constant."""


@dataclass
class GCSL(Supervised):
    """Supervised fine-tuning under goals."""

    name: str = "gcsl"

    uses_goals: ClassVar[bool] = True

    def label(self, formulation: str, wording: str) -> str:
        """`threshold-language`, `exact-token`."""
        return f"{formulation}-{wording}"

    def facts(self, spec: "GoalSpec") -> dict[str, Any]:
        """The goal in a few words."""
        return {
            "formulation": spec.formulation,
            "wording": spec.wording,
            "placement": spec.placement,
            **goal_levels(spec),
        }

    def describe(self, examples: "RowExamples", spec: "GoalSpec", plan: "Plan") -> Iterator[list[str]]:
        """One line per level: how many rows reach it, how often it is planned, and its wording."""
        if isinstance(spec, JointSpec):
            yield from describe_parts(spec, examples.feedback, plan)
            return
        train = examples.feedback
        if not spec.levels:
            low, high = sorted(spec.scale.grade(end) for end in spec.training_range)
            yield ["goals", f"the scores themselves, {low:g} to {high:g}, such as: {spec.text(spec.best)}"]
            return
        highest = levels_of(spec).reached_by(train)
        for index, (level, text) in enumerate(zip(spec.levels, spec.texts, strict=True)):
            reach = int((highest >= index).sum())
            planned = int((plan.goal == level).sum())
            meaning = f" ({spec.words[index]})" if spec.words else ""
            copies = int((plan.missed == level).sum())
            planned_text = f"{planned} planned" + (f" and {copies} copies that miss it" if copies else "")
            weight = f", weight {spec.weights[index]:g}" if spec.weights else ""
            yield [f"level {spec.display(level)}", f"{reach} rows reach it, {planned_text}{weight}: {text}{meaning}"]

    def write_rows(self, path: Path, examples: "RowExamples", spec: "GoalSpec", levels: "Levels") -> None:
        """Write the (row, level) pairs: every level that a row reaches, or for exact and raw goals only the highest."""
        highest = levels.reached_by(examples.feedback)
        if isinstance(spec, JointSpec):
            write_combinations(path, spec.names, highest)
            return
        # Every smaller distinct score is a threshold that a raw score reaches: too many to write down.
        every = spec.formulation == "threshold" and bool(spec.levels)
        write_goal_rows(path, highest, every=every)


def write_goal_rows(path: Path, highest: Ints, *, every: bool) -> None:
    """Write (row, level) pairs in chunks: every level up to the `highest` of each row `(rows,)`, or only that one.

    A level is an index into the goal spec's levels; for raw scores, into the distinct training scores.
    """
    from gcsl_cli.goals.relabel import reached_pairs

    with whole_file(path) as temporary, pq.ParquetWriter(temporary, GOAL_ROWS) as writer:
        for start in range(0, len(highest), CHUNK):
            part = highest[start : start + CHUNK]
            rows, reached = reached_pairs(part) if every else (np.arange(len(part)), part)
            writer.write_table(pa.table({"row": rows + start, "level": reached}).cast(GOAL_ROWS))
