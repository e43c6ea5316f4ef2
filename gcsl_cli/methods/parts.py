"""Goals with several parts in `gcsl prepare`: the levels of each part, and the combinations that rows have."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gcsl_cli.data.arrays import Ints
from gcsl_cli.data.records import INTEGER
from gcsl_cli.goals.combinations import combination
from gcsl_cli.goals.joint import JointSpec, saved_levels
from gcsl_cli.runs.files import whole_file

if TYPE_CHECKING:
    from gcsl_cli.data.records import FeedbackRows
    from gcsl_cli.goals.spec import GoalSpec
    from gcsl_cli.training.plan import Plan

MOST_SHOWN = 30
"""Combinations that are listed, the most frequent ones."""


def goal_levels(spec: "GoalSpec") -> dict[str, str]:
    """The levels of a goal for reports, those of each part by its name."""
    if isinstance(spec, JointSpec):
        named = zip(spec.names, spec.parts, strict=True)
        return {f"levels of {name}": ", ".join(map(part.display, part.levels)) for name, part in named}
    return {"levels": ", ".join(map(spec.display, spec.levels)) or "the scores themselves"}


def describe_parts(spec: JointSpec, rows: "FeedbackRows", plan: "Plan") -> Iterator[list[str]]:
    """Label and value pairs: each level of each part, then the combinations that rows have."""
    reached = saved_levels(spec).reached_by(rows)
    planned = combination(plan.goal, spec.counts)
    copies = combination(plan.missed, spec.counts)
    for place, (name, part) in enumerate(zip(spec.names, spec.parts, strict=True)):
        known = int((reached[:, place] >= 0).sum())
        if known < len(rows):
            yield [name, f"{known} of {len(rows)} rows have this score; the others leave it open"]
        for level, value in enumerate(part.levels):
            counts = [int((reached[:, place] >= level).sum()), int((planned[:, place] == level).sum())]
            raised = int(((copies[:, place] == level) & (planned[:, place] != level)).sum())
            pushed = f" and {raised} copies that miss it" if raised else ""
            weight = f", weight {part.weights[level]:g}" if part.weights else ""
            words = f" ({part.words[level]})" if part.words else ""
            text = f"{counts[0]} rows reach it, {counts[1]} planned{pushed}{weight}: {part.texts[level]}{words}"
            yield [f"{name} {part.display(value)}", text]
        yield [f"{name} open", f"{int((planned[:, place] < 0).sum())} planned"]
    yield from _combinations(spec, plan)
    yield ["all parts together", spec.text(spec.best)]
    if (unseen := spec.unseen(spec.best)) is not None:
        yield ["best of all parts", unseen]


def _combinations(spec: JointSpec, plan: "Plan") -> Iterator[list[str]]:
    """The table of combinations: how many rows have each as their own, and how often it is planned as a goal."""
    numbers, times = np.unique(plan.goal[~np.isnan(plan.goal)], return_counts=True)
    planned = dict(zip(numbers.tolist(), times.tolist(), strict=True))
    rows = dict(zip(spec.combinations, spec.rows, strict=True))
    if len(spec.names) == 2:
        yield from _matrix(spec, rows, planned)
    else:
        for levels, count in list(rows.items())[:MOST_SHOWN]:
            text = f"{count} rows, planned {planned.get(spec.number(levels), 0)} times"
            yield [spec.shown(levels), text]
        if len(rows) > MOST_SHOWN:
            rest = len(rows) - MOST_SHOWN
            yield ["further combinations", f"{rest}, of {sum(spec.rows[MOST_SHOWN:])} rows; goal.json lists them"]
    own = {spec.number(levels) for levels in rows}
    others = [times for number, times in planned.items() if number not in own]
    if others:
        text = f"{len(others)}, reached by better rows or with open parts, planned {sum(others)} times"
        yield ["other combinations", text]


def _matrix(spec: JointSpec, rows: Mapping[tuple[int, ...], int], planned: Mapping[float, int]) -> Iterator[list[str]]:
    """One line per level of the first of two parts, with the levels of the second."""
    first, second = spec.parts
    for one in [-1, *range(len(first.levels))]:
        cells = []
        for other in [-1, *range(len(second.levels))]:
            count = rows.get((one, other), 0)
            if count or min(one, other) >= 0:
                times = planned.get(spec.number((one, other)), 0)
                shown = "open" if other < 0 else second.display(second.levels[other])
                cells.append(f"{shown}: {count} ({times})")
        if cells:
            shown = "open" if one < 0 else first.display(first.levels[one])
            yield [f"{spec.names[0]} {shown}, {spec.names[1]}", f"{', '.join(cells)} rows (planned)"]


def write_combinations(path: Path, names: Sequence[str], highest: Ints) -> None:
    """Write the highest level of each part that each row reaches, null where its score is not known."""
    columns = {
        name: pa.array(np.where(level < 0, np.nan, level), from_pandas=True)
        for name, level in zip(names, highest.T, strict=True)
    }
    table = pa.table(
        {"row": pa.array(np.arange(len(highest)), INTEGER)}
        | {name: column.cast(INTEGER) for name, column in columns.items()}
    )
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)
