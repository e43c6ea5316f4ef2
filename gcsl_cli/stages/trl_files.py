"""Write graded rows in TRL's dataset formats, for other trainers.

    {"prompt": "Name a cat.", "completion": "Minka.", "score": 4.0}
    {"prompt": "Name a cat.", "chosen": "Minka.", "rejected": "Cat.", "score_chosen": 4.0, "score_rejected": 1.0}

Conversations have messages in place of texts, and `tools` where a row has them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gcsl_cli.data.calls import unpacked
from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.errors import ConfigError
from gcsl_cli.methods.dpo import DPO, preference_pairs
from gcsl_cli.models.chat import conversation
from gcsl_cli.runs.files import whole_file
from gcsl_cli.stages.experiment import Experiment

SUFFIXES = (".jsonl", ".json", ".ndjson")


def check_json_lines(path: Path) -> None:
    """Raise `ConfigError` unless the name of a file ends like that of a JSON lines file."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: the file is written as JSON lines, so its name has to end in .jsonl.")


def write_rows(path: Path, rows: FeedbackRows, experiment: Experiment) -> int:
    """Write a line per row, with the grades of the file; return their number."""
    scale, form = experiment.task.grade_scale(rows), experiment.task.prompt_format()
    records = (
        {**_prompt(row, form), "completion": _completion(row, form), "score": scale.grade(row.score)} for row in rows
    )
    return _write(path, records)


def write_pairs(path: Path, rows: FeedbackRows, experiment: Experiment) -> int:
    """Write pairs of completions of a prompt whose grades differ, as `method=dpo` makes them; return their number.

    With another method, these are the best and the worst completion of each prompt.

    Raises:
        DataError: there are none.
    """
    scale, form = experiment.task.grade_scale(rows), experiment.task.prompt_format()
    rule = experiment.method if isinstance(experiment.method, DPO) else DPO()
    seed = experiment.config.seed
    pairs = preference_pairs(
        rows.scores, rows.prompts, pairs=rule.pairs, margin=rule.margin, most=rule.max_pairs, seed=seed
    )

    def records() -> Iterator[Mapping[str, Any]]:
        for chosen, rejected in zip(rows.take(pairs.chosen), rows.take(pairs.rejected), strict=True):
            yield {
                **_prompt(chosen, form),
                "chosen": _completion(chosen, form),
                "rejected": _completion(rejected, form),
                "score_chosen": scale.grade(chosen.score),
                "score_rejected": scale.grade(rejected.score),
            }

    return _write(path, records())


def _prompt(row: FeedbackRow, form: str) -> dict[str, Any]:
    if form != "messages":
        return {"prompt": row.prompt}
    turns, tools = conversation(row.prompt, form)
    return {"prompt": turns} | ({} if tools is None else {"tools": tools})


def _completion(row: FeedbackRow, form: str) -> Any:
    calling = unpacked(row.completion)
    if calling is None and form != "messages":
        return row.completion
    return [calling or {"role": "assistant", "content": row.completion}]


def _write(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count
