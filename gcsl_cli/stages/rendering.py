"""Rows as the model's chat template renders them: those that it cannot render, and completions that call tools."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gcsl_cli.data.calls import MARK
from gcsl_cli.data.input_files import Fault, Faults
from gcsl_cli.data.records import FeedbackRows, named_place
from gcsl_cli.errors import DataError
from gcsl_cli.models.chat import RefusedError
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.tasks.base import Task


def rendered(task: Task, prompter: Prompter, parts: Sequence[FeedbackRows]) -> tuple[list[FeedbackRows], list[str]]:
    """The rows that the template can render, with tool calls as text in completions, and a line per kind of others.

    Raises:
        DataError: some rows cannot be rendered and `task.on_error` is not `skip`, or no row is left.
    """
    faults = Faults()
    kept = [_kept(prompter, rows, faults) for rows in parts]
    lines, total = faults.lines(), sum(map(len, parts))
    if faults.total and (getattr(task, "on_error", "fail") != "skip" or faults.total == total):
        listing = "".join(f"\n  {line}" for line in lines)
        skip = ", or leave them out with task.on_error=skip" if hasattr(task, "on_error") else ""
        raise DataError(
            f"{faults.total} of {total} rows do not suit the model's chat template, which{listing}\n"
            + (f"Use another model{skip}." if faults.total < total else "No usable rows are left. Use another model.")
        )
    return kept, [line.replace(" x ", " x the model's chat template ", 1) for line in lines]


def _kept(prompter: Prompter, rows: FeedbackRows, faults: Faults) -> FeedbackRows:
    """The rows without those that cannot be rendered, which are added to `faults`."""
    refused = dict(_refused_prompts(prompter, rows))
    texts = {}
    for index in np.flatnonzero(pc.starts_with(rows.table["completion"], MARK)).tolist():
        row = rows[index]
        try:
            texts[index] = prompter.completion(row.prompt, row.completion)
        except RefusedError as error:
            refused.setdefault(index, str(error))
    for index in sorted(refused):
        faults.add(Fault(refused[index]), named_place(rows[index]))
    if texts:
        completions = rows.table["completion"].to_pylist()
        for index, text in texts.items():
            completions[index] = text
        rows = rows.with_column("completion", pa.array(completions, pa.string()))
    return rows.take(np.setdiff1d(np.arange(len(rows)), list(refused))) if refused else rows


def _refused_prompts(prompter: Prompter, rows: FeedbackRows) -> Iterator[tuple[int, str]]:
    """Rows whose conversations the template cannot render, and why.

    Of conversations that differ in their texts alone, one is tried.
    """
    if prompter.spec.prompt_format != "messages" or not len(rows):
        return
    reasons: dict[str, str] = {}
    refused: dict[str, str] = {}
    for prompt in pc.unique(rows.table["prompt"]).to_pylist():
        outline = json.dumps(_outline(json.loads(prompt)))
        if outline not in reasons:
            reasons[outline] = _reason(prompter, prompt)
        if reasons[outline]:
            refused[prompt] = reasons[outline]
    if refused:
        found = pc.is_in(rows.table["prompt"], value_set=pa.array(list(refused)))
        for index in np.flatnonzero(found).tolist():
            yield index, refused[rows[index].prompt]


def _reason(prompter: Prompter, prompt: str) -> str:
    try:
        prompter.check(prompt)
    except RefusedError as error:
        return str(error)
    return ""


def _outline(value: Any) -> Any:
    """A conversation without its texts, except for roles."""
    if isinstance(value, list):
        return [_outline(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key == "role" else _outline(item) for key, item in value.items()}
    return None if value is None else type(value).__name__
