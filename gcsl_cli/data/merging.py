"""Feedback of several rounds in one table; the source of a row names its round: `round 2: rollouts`.

Rows of the first round keep the source that the task gave them.
"""

import re
from dataclasses import replace

import numpy as np

from gcsl_cli.data.arrays import Ints
from gcsl_cli.data.records import FeedbackRows

SOURCE = "round {number}: {source}"


def merged(earlier: FeedbackRows, sampled: FeedbackRows, number: int, kept: int | None) -> FeedbackRows:
    """The earlier rows that are kept and the new rows, marked with their round.

    A completion that is already there is not added again: given rows, which every round has, count once.
    """
    rounds = round_numbers(earlier)
    old = earlier.take(np.flatnonzero(rounds > (0 if kept is None else number - kept)))
    known = {(row.prompt_id, row.completion) for row in old}
    new = [
        replace(row, source=SOURCE.format(number=number, source=row.source))
        for row in sampled
        if (row.prompt_id, row.completion) not in known
    ]
    return FeedbackRows.of([*old, *new])


def round_numbers(rows: FeedbackRows) -> Ints:
    """The round that each row was sampled in, `(rows,)`."""
    pattern = re.compile(SOURCE.format(number=r"(\d+)", source=""))
    found = [pattern.match(source or "") for source in rows.table["source"].to_pylist()]
    return np.array([int(match[1]) if match else 1 for match in found], dtype=np.int64)
