"""What a dry run says of a file: its columns, its prompts, how it was read, and what was left out."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import SCORES
from gcsl_cli.tasks.feedback.graded_file import GradedFile, Layout


def table_part(table: pa.Table, name: str) -> Floats:
    """The grades of one of several scores, NaN where one is not known, `(rows,)`."""
    return np.asarray(table[f"{SCORES}{name}"].to_numpy(), dtype=np.float64)


def grade_range(grades: Floats) -> tuple[float, float]:
    """The lowest and the highest known grade."""
    known = grades[~np.isnan(grades)]
    return (float(known.min()) + 0.0, float(known.max()) + 0.0) if len(known) else (0.0, 0.0)


def overview_lines(path: str, graded: GradedFile, reduce: str) -> list[list[str]]:
    """Label and value pairs about a file that has been read; `reduce` is how several ratings became one."""
    columns, table = graded.columns, graded.table
    completion = columns.completion or "the last message of each conversation"
    named = [name.removeprefix(SCORES) for name in table.column_names if name.startswith(SCORES)]
    unknown = {name: int(np.isnan(table_part(table, name)).sum()) for name in named}
    grades = table.group_by("prompt_id").aggregate([("grade", "count_distinct")])["grade_count_distinct"]
    several = pc.sum(pc.greater(grades, 1)).as_py() or 0
    return [
        ["file", f"{path}: {len(table)} rows ({'; '.join(graded.kinds)})"],
        ["columns", f"prompt={columns.prompt}, completion={completion}, score={columns.score}"],
        ["prompts", f"{len(grades)}, {several} of them with several grades"],
        *[["not graded", f"{name}: {count} rows"] for name, count in unknown.items() if count],
        *[["read as", text] for text in [*graded.decisions, *_decisions(graded.layout, reduce)]],
        *[["changed", f"{count} x {what}"] for what, count in graded.notes.items()],
        *[["left out", line] for line in graded.faults.lines()],
    ]


def _decisions(layout: Layout, reduce: str) -> Iterator[str]:
    columns, shape = layout.columns, layout.shape
    if columns.joined:
        yield f"{', '.join(columns.joined)} with a blank line between them are the prompt (task.columns.prompt)"
    if layout.pairs:
        yield "pairs: chosen is graded 1 and rejected 0, or by score_chosen and score_rejected"
    if shape.several:
        yield "one row per completion in the list"
    if shape.raters:
        yield f"several ratings per completion; their {reduce} counts (task.reduce)"
