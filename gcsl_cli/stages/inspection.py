"""inspect: how gcsl reads a file of graded completions, before anything is trained.

Reads the file as `task=feedback` would, and a tokenizer, but no model weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from gcsl_cli.configs import load
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.arrays import Floats, Ints
from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.data.splits import split_ids
from gcsl_cli.errors import ConfigError, DataError, GcslError
from gcsl_cli.goals.combinations import numbered
from gcsl_cli.goals.joint import JointLevels, JointSpec
from gcsl_cli.goals.levels import Levels
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.runs.files import resolved
from gcsl_cli.stages.dry_run import marked
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.fitting import special_token_notes, template_notes
from gcsl_cli.stages.planning.advice import histogram
from gcsl_cli.stages.planning.goal import make_goal
from gcsl_cli.stages.rendering import rendered
from gcsl_cli.stages.trl_files import check_json_lines, write_pairs, write_rows
from gcsl_cli.tasks.feedback.task import FeedbackTask

MEASURED = 1000
"""Rows that are tokenized to estimate lengths."""


def run(
    file: str,
    lines: Sequence[str],
    *,
    first: int | None,
    output: Path | None,
    pairs: Path | None,
    config_dir: Path | None,
) -> dict[str, Any]:
    """Inspect a file, and write its rows in TRL's formats if wanted.

    Args:
        file: a path or `hf://datasets/...`, as `task.path`.
        lines: overrides, for instance of `task.columns.score`.
        first: read at most so many rows; None: all. Written files have all rows, whatever it is.
        output: JSON lines of `prompt`, `completion` and `score` to write; None: none.
        pairs: JSON lines of `prompt`, `chosen`, `rejected` and their scores to write; None: none.
        config_dir: a folder with the user's own config groups.

    Raises:
        ConfigError: an override cannot be used, or a column cannot be found.
        DataError: no row of the file can be used.
    """
    if any(line.lstrip("+~").startswith("task.path=") for line in lines):
        raise ConfigError("gcsl inspect takes the file as its argument; leave task.path out.")
    path = file.replace("\\", "\\\\").replace("'", "\\'")
    config = load(["task=feedback", f"task.path='{path}'", "task.on_error=skip", *lines], config_dir)
    task = config.task
    if not isinstance(task, FeedbackTask):
        raise ConfigError(f"gcsl inspect reads files of graded completions; task={task.name} cannot be inspected.")
    _check_files(task, output, pairs)
    most = None if output or pairs else first
    rows = task.first_rows(most)
    experiment = Experiment(config)
    found = _found(config, task, rows)
    summary = [
        *task.overview(),
        *(
            [["looked at", f"the first {len(rows)} rows (--rows)"]]
            if first == len(rows) and not (output or pairs)
            else []
        ),
        ["prompt format", f"{task.prompt_format()} (task.format, task.instruction)"],
        ["rows per prompt", _spread(found["rows_per_prompt"])],
        ["splits", _splits_text(task, rows)],
        ["grades", histogram([*map(task.grade_scale(rows).grade, rows.scores.tolist())])],
        ["better grades", f"{task.score_direction} (task.score_direction=higher|lower)"],
        *([["duplicates", _duplicates_text(found)]] if found["duplicates"] else []),
        *_goal_lines(experiment, rows, found),
    ]
    for target, write in ((output, write_rows), (pairs, write_pairs)):
        if target is not None:
            count = write(target, rows, experiment)
            summary.append(["written", f"{target}: {count} {'rows' if write is write_rows else 'pairs'}"])
    return {"stage": "inspect", "status": "done", "message": f"{file}: as gcsl reads it", "summary": summary, **found}


def _check_files(task: FeedbackTask, output: Path | None, pairs: Path | None) -> None:
    """Raise `ConfigError` if a file cannot be written, before any is."""
    for option, target in (("--output", output), ("--pairs", pairs)):
        if target is not None:
            check_json_lines(target)
            if resolved(target) in [resolved(path) for path in task.files_read()]:
                raise ConfigError(f"{option} {target}: that is a file to read. Name another one.")
    if output is not None and pairs is not None and resolved(output) == resolved(pairs):
        raise ConfigError(f"--pairs {pairs}: that is also the file of --output. Name another one.")


def _found(config: Config, task: FeedbackTask, rows: FeedbackRows) -> dict[str, Any]:
    """What `--json` tells beside the summary."""
    scale, (same, conflicting) = task.grade_scale(rows), _duplicates(rows)
    return {
        "path": task.path,
        "rows": len(rows),
        "columns": task.columns_found(),
        "prompt_format": task.prompt_format(),
        "rows_per_prompt": _quantiles(np.bincount(rows.prompts)),
        "scale": asdict(scale),
        "duplicates": same,
        "conflicting": conflicting,
        "max_length": config.train.max_length,
    }


def _goal_lines(experiment: Experiment, rows: FeedbackRows, found: dict[str, Any]) -> Iterator[list[str]]:
    """Levels, lengths in tokens and examples; a file that no goal can be learned from says why instead."""
    special_tokens = special_token_notes(experiment.plain_prompter, rows)
    (rows,), left_out = rendered(experiment.task, experiment.plain_prompter, [rows])
    notes = [*template_notes(experiment.plain_prompter, [rows]), *special_tokens]
    yield from (["left out", line] for line in left_out)
    try:
        spec, levels = make_goal(experiment.config, rows, rows)
    except GcslError as error:
        yield ["levels", f"none: {error}"]
        return
    if isinstance(spec, JointSpec) and isinstance(levels, JointLevels):
        lines, goals = _of_parts(spec, levels, rows)
    else:
        lines, goals = _of_one(spec, levels, rows)
    yield from lines
    if spec.levels:
        yield ["levels chosen by", f"{spec.level_rule} (goal.levels.by, goal.levels.values)"]
    yield from _lengths(experiment, spec, rows, found)
    yield from (["note", note] for note in notes)
    order = np.argsort(rows.scores, kind="stable")
    for index in dict.fromkeys(order[[0, len(order) // 2, -1]].tolist()):
        yield ["example", _example(experiment, spec, rows[index], float(goals[index]))]


def _of_one(spec: GoalSpec, levels: Levels, rows: FeedbackRows) -> tuple[list[list[str]], Floats]:
    """The levels as label and value pairs, and the best goal that each row reaches, `(rows,)`."""
    if not spec.levels:
        return [], rows.scores
    highest = levels.highest(rows.scores, rows.prompts)
    lines = [
        [f"level {spec.display(level)}", f"{(highest >= index).sum()} rows reach it: {spec.text(level)}"]
        for index, level in enumerate(spec.levels)
    ]
    return lines, np.array(spec.levels)[highest]


def _of_parts(spec: JointSpec, levels: JointLevels, rows: FeedbackRows) -> tuple[list[list[str]], Floats]:
    """As `_of_one`, of goals with several parts."""
    highest = levels.reached_by(rows)
    lines = [
        [f"{name} {part.display(level)}", f"{(highest[:, place] >= index).sum()} rows reach it: {part.text(level)}"]
        for place, (name, part) in enumerate(zip(spec.names, spec.parts, strict=True))
        for index, level in enumerate(part.levels)
    ]
    return lines, numbered(highest, spec.counts)


def _lengths(experiment: Experiment, spec: GoalSpec, rows: FeedbackRows, found: dict[str, Any]) -> Iterator[list[str]]:
    """Lines about lengths in tokens; the numbers are added to `found`."""
    chosen = rows.take(np.unique(np.linspace(0, len(rows) - 1, MEASURED).astype(int)))
    prompter = experiment.prompter(spec)
    prompts = np.array(prompter.lengths(list(chosen), spec.best if spec.has_goal else None))
    texts = [row.completion for row in chosen]
    completions = np.array([len(ids) for ids in prompter.tokenizer(texts, add_special_tokens=False)["input_ids"]])
    found |= {"prompt_tokens": _quantiles(prompts), "completion_tokens": _quantiles(completions)}
    sampled = f" (of {len(chosen)} rows)" if len(chosen) < len(rows) else ""
    yield ["tokens per prompt", f"{_spread(_quantiles(prompts))}, with its goal{sampled}"]
    yield ["tokens per completion", f"{_spread(_quantiles(completions))}{sampled}"]
    limits = [length for length in (experiment.config.train.max_length, prompter.context) if length is not None]
    if limits:
        limit = min(limits)
        full, cut = int((prompts >= limit).sum()), int((prompts + completions > limit).sum())
        found |= {"limit": limit, "prompts_too_long": full, "rows_too_long": cut}
        yield [
            "length limit",
            f"{limit} tokens (train.max_length, the model's context): {cut} rows are longer, {full} prompts fill it "
            "(train.too_long)",
        ]


def _example(experiment: Experiment, spec: GoalSpec, row: FeedbackRow, goal: float) -> str:
    asked = goal if spec.has_goal else None
    try:
        encoded = experiment.prompter(spec).rows([row], [asked], None)
    except DataError as error:
        return f"left out: {error}"
    tokenizer = experiment.prompter(spec).tokenizer
    return marked(tokenizer, spec, goal if spec.has_goal else float("nan"), encoded, ["supervised"])


def _duplicates(rows: FeedbackRows) -> tuple[int, int]:
    """Rows that repeat prompt and completion of an earlier one, and how many such texts have different grades."""
    groups = rows.table.group_by(["prompt_id", "completion"]).aggregate(
        [("score", "count"), ("score", "count_distinct")]
    )
    repeated = pc.sum(pc.subtract(groups["score_count"], 1)).as_py() or 0
    return int(repeated), int(pc.sum(pc.greater(groups["score_count_distinct"], 1)).as_py() or 0)


def _duplicates_text(found: dict[str, Any]) -> str:
    conflicting = f"; {found['conflicting']} completions have different grades" if found["conflicting"] else ""
    return f"{found['duplicates']} rows repeat the prompt and completion of another{conflicting}"


def _splits_text(task: FeedbackTask, rows: FeedbackRows) -> str:
    try:
        splits = split_ids(pc.unique(rows.table["prompt_id"]).to_pylist(), task.split).tolist()
    except GcslError as error:
        return f"none: {error}"
    counts = ", ".join(f"{name} {splits.count(name)}" for name in ("train", "validation", "test"))
    return f"{counts} prompts (task.split.test, task.split.validation)"


def _quantiles(values: Floats | Ints) -> dict[str, float]:
    median, high = np.quantile(values, [0.5, 0.95])
    return {"median": float(median), "p95": float(high), "max": float(np.max(values))}


def _spread(numbers: dict[str, float]) -> str:
    return f"median {numbers['median']:g}, 95 % up to {numbers['p95']:g}, at most {numbers['max']:g}"
