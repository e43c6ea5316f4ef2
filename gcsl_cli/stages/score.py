"""score: a file of prompts and completions in, the same file with a grade in each row out.

    {"prompt": "Name a cat.", "completion": "Minka, please.", "score": 1.0}

Grades that cost time or money are saved as soon as they are known, so an interrupted command resumes.
"""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.input_files import Row
from gcsl_cli.data.records import write_table
from gcsl_cli.errors import ConfigError, DataError, first_line, listed
from gcsl_cli.runs.files import json_value, resolved, whole_file
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.weighted import WeightedScorer
from gcsl_cli.tasks.prompts.task import PromptsTask

USED = ("scorer", "task", "allow_custom_code")
"""Keys that have a meaning here."""
SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet")

log = logging.getLogger("gcsl")


def run(
    file: str, lines: Sequence[str], output: Path | None, column: str = "score", config_dir: Path | None = None
) -> dict[str, Any]:
    """Grade the completions in `file` and write its rows, each with a grade, to `output`.

    Args:
        file: as `task.path` of task=prompts, with a completion in each row.
        lines: overrides: the scorer, its settings, and how the file is read (`task.columns.prompt=...`).
        output: its suffix decides on the format; None: a name like that of `file`.
        column: name of the grades' column.
        config_dir: a folder with the user's own config groups.

    Raises:
        ConfigError: an override is invalid, or the column exists or has no name.
        DataError: the file cannot be used, or no completion has a grade.
    """
    if not column.strip():
        raise ConfigError("--column: the name is empty. Name the column of the grades: --column NAME.")
    task = _task(file, lines, config_dir)
    output = _output(file, output)
    scorer = task.grader
    scorer.check()
    found = task.read(completions=True)
    found.check(scorer, file)
    parts = list(scorer.parts) if isinstance(scorer, WeightedScorer) else []
    for name in (column, *parts):
        if any(name in row.row for row in found.rows):
            fix = "Rename the part of the scorer." if name in parts else "Name another one: --column NAME."
            raise ConfigError(f"{file} has a column {name} already. {fix}")
    _check_writable(output, [row.row for row in found.rows])
    form = task.format_of(found)
    examples = [Example(row.prompt, row.completion or "", row.reference, row.columns, form) for row in found.rows]
    several = scorer.grades(examples) if isinstance(scorer, WeightedScorer) else {}
    grades = scorer.mean(several, complete=True) if isinstance(scorer, WeightedScorer) else scorer(examples)
    reasons = dict(scorer.ungraded)
    graded = grades[np.isfinite(grades)]
    if not len(graded):
        why = listed(f"{count} x {reason}" for reason, count in reasons.items())
        raise DataError(f"{file}: none of {len(grades)} completions has a grade: {why}.")
    _write(output, [row.row for row in found.rows], {column: grades, **several})
    low, mean, high = (float(number) for number in (graded.min(), graded.mean(), graded.max()))
    missing = len(grades) - len(graded)
    return {
        "stage": "score",
        "status": "done",
        "run": str(output),
        "summary": [
            ["graded", f"{len(graded)} completions by {scorer.name}"],
            ["grades", f"mean {mean:.4g}, from {low:.4g} to {high:.4g}"],
            *[["no grade", f"{count} x {reason}"] for reason, count in reasons.items()],
            *found.overview(),
        ],
        "graded": len(graded),
        "ungraded": missing,
        "reasons": reasons,
        "left_out": found.faults.total,
        "mean": mean,
        "lowest": low,
        "highest": high,
    }


def _task(file: str, lines: Sequence[str], config_dir: Path | None) -> PromptsTask:
    from gcsl_cli.configs import load

    for line in lines:
        key, equals, _ = line.lstrip("+~").partition("=")
        if key in ("task", "task.path") or key.partition(".")[0] not in USED or not equals:
            raise ConfigError(
                f"{line}: gcsl score takes one file, a scorer, its settings and how the file is read: scorer=NAME, "
                "scorer.KEY=VALUE, task.columns.prompt=NAME."
            )
        if key == "scorer" and "," in line:
            raise ConfigError(
                f"{line}: gcsl score grades with one scorer. Run it once for each, with --column NAME, or "
                "combine them in one (scorer=weighted, docs/scorers.md)."
            )
    task: PromptsTask = load(["task=prompts", "task.path=file", *lines], config_dir).task
    task.path = file  # set here, since it may have any character
    return task


def _output(file: str, output: Path | None) -> Path:
    """Where the graded rows go.

    Raises:
        ConfigError: the format is unknown, or it is the file itself or in the folder that is read.
    """
    if output is None:
        remote, path = "://" in file, Path(file)
        suffix = next((part for part in reversed(path.suffixes) if part.lower() in SUFFIXES), ".jsonl")
        stem = path.name[: path.name.rindex(suffix)] if suffix in path.name else path.stem
        output = (Path() if remote else path.parent) / f"{stem}-graded{suffix}"
    if output.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--output {output}: unknown format. Supported: {listed(SUFFIXES)}.")
    if resolved(file) in (resolved(output), *resolved(output).parents):
        raise ConfigError(f"--output {output}: that is the file to grade, or in its folder. Name another one.")
    return output


def _check_writable(path: Path, rows: Sequence[Row]) -> None:
    """Before anything is graded, raise `DataError` for rows that the format of the output cannot hold."""
    fix = "Drop the column, or write another format: --output FILE.jsonl."
    try:
        if path.suffix.lower() == ".parquet":
            pa.Table.from_pylist(list(rows))
        for row in rows:
            json.dumps(row, ensure_ascii=False, default=str).encode()
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise DataError(f"{path}: the rows cannot be written as Parquet ({first_line(error)}). {fix}") from error
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: a row has text that is not valid Unicode ({error.reason}). Correct it first."
        ) from error


def _write(path: Path, rows: Sequence[Row], grades: Mapping[str, Floats]) -> None:
    """Write rows with their grades, by column, atomically; a missing grade is null, or an empty field."""
    columns = [values.tolist() for values in grades.values()]
    graded = [row | dict(zip(grades, of_row, strict=True)) for row, *of_row in zip(rows, *columns, strict=True)]
    names = list(dict.fromkeys(name for row in graded for name in row))
    if path.suffix.lower() == ".parquet":
        write_table(
            path, pa.Table.from_pylist([row | {name: json_value(row[name]) for name in grades} for row in graded])
        )
        return
    graded = [json_value(row) for row in graded]
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix.lower() in (".csv", ".tsv"):
            writer = csv.DictWriter(stream, names, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            writer.writeheader()
            writer.writerows({name: _field(value) for name, value in row.items()} for row in graded)
        elif path.suffix.lower() == ".json":
            json.dump(graded, stream, ensure_ascii=False, indent=1, default=str)
        else:
            stream.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in graded)


def _field(value: Any) -> Any:
    """A field of a CSV file: objects and lists are written as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else value
