"""Read prompts from a file: texts or conversations, with reference answers and any other columns.

    {"prompt": "Name a cat.", "reference": "Minka", "topic": "pets"}
    {"messages": [{"role": "user", "content": "Name a cat."}, {"role": "assistant", "content": "Minka"}]}

A text file has a prompt on each line. The last message of a conversation, if it is the assistant's, is the reference.
With `completions`, each row also has a completion, and the last message of a conversation is that.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcsl_cli.data.calls import unpacked
from gcsl_cli.data.input_files import (
    Fault,
    Faults,
    NumberedRow,
    Place,
    ReadOptions,
    Row,
    data_files,
    open_file,
    read_opened,
)
from gcsl_cli.errors import ConfigError, DataError, listed
from gcsl_cli.scorers.base import Scorer
from gcsl_cli.tasks.feedback.columns import (
    CONVERSATIONS,
    JOIN,
    USUAL,
    conversation_in,
    find_column,
    find_prompt,
    is_message,
    missing_columns,
    named,
    value_of,
)
from gcsl_cli.tasks.feedback.conversations import completion_of, turns, with_tools
from gcsl_cli.tasks.feedback.graded_file import SAMPLE, merge
from gcsl_cli.tasks.feedback.row_parser import TOOLS, answer_text, prompt_text

TEXT_FILE = ".txt"
REFERENCES = ("reference", "reference_answer", "ground_truth", "solution", "target")


@dataclass
class ColumnsConfig:
    """Column names, dotted for a value inside an object; null: find by usual names."""

    prompt: str | None = None
    reference: str | None = None
    completion: str | None = None


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt with all that its row says about it."""

    prompt: str
    """Text, or a conversation as JSON."""
    completion: str | None
    reference: str | None
    columns: dict[str, Any]
    """The other columns."""
    row: Row
    """The whole row, as read."""
    place: str
    """File and line."""


@dataclass
class PromptFile:
    """The usable rows of one or more files, and how they were read."""

    prompt: str
    """Name of the prompt's column; several are joined by `+`."""
    completion: str | None
    reference: str | None
    conversations: bool
    """Prompts are lists of chat messages."""
    rows: list[PromptRow] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    decisions: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def overview(self) -> Iterator[list[str]]:
        """Label and value pairs: columns, decisions, what was changed or left out."""
        columns = {"prompt": self.prompt, "completion": self.completion, "reference": self.reference}
        yield ["columns", listed(f"{role}={name}" for role, name in columns.items() if name)]
        yield from (["read as", text] for text in self.decisions)
        yield from (["changed", f"{count} x {what}"] for what, count in self.notes.items())
        yield from (["left out", line] for line in self.faults.lines())

    def check(self, scorer: Scorer, path: str) -> None:
        """Raise `ConfigError` if the scorer needs reference answers, or other columns, and no row has any."""
        if scorer.needs_columns and not any(name in row.columns for row in self.rows for name in scorer.needs_columns):
            raise ConfigError(
                f"scorer={scorer.name} needs one of the columns {listed(scorer.needs_columns)}, and {path} has none."
            )
        if scorer.needs_reference and not any(row.reference for row in self.rows):
            raise ConfigError(
                f"scorer={scorer.name} compares with reference answers, and {path} has none. Name their column: "
                "task.columns.reference=NAME."
            )


def read_prompts(
    path: Path, pattern: str | None, options: ReadOptions, columns: ColumnsConfig, *, completions: bool = False
) -> PromptFile:
    """Read a file, or the files of a folder that match `pattern`; without one, its data files.

    Raises:
        ConfigError: a column is missing or ambiguous.
        DataError: a file cannot be used, or has no rows.
    """
    decisions: list[str] = []
    rows: list[tuple[Place, Row | Fault]] = []
    for file in _files(path, pattern):
        numbered = _lines(file) if file.suffix == TEXT_FILE else _data_rows(file, options, decisions)
        rows += [(Place(Path(file.name), line), row) for line, row in numbered]
    found = _layout([row for _, row in rows if not isinstance(row, Fault)], columns, path, completions=completions)
    found.decisions = decisions
    for place, row in rows:
        try:
            if isinstance(row, Fault):
                raise row
            found.rows.append(_parsed(found, row, place, completions=completions))
        except Fault as fault:
            found.faults.add(fault, place)
    return found


def _files(path: Path, pattern: str | None) -> list[Path]:
    if path.suffix == TEXT_FILE:
        return [path]
    texts = sorted(path.glob(pattern)) if pattern and pattern.endswith(TEXT_FILE) else []
    return texts or data_files(path, pattern)


def _lines(file: Path) -> Iterator[NumberedRow]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not UTF-8 text, or cannot be read ({error}).") from error
    if not any(line.strip() for line in lines):
        raise DataError(f"{file}: the file has no prompts. Expected one per line.")
    return ((number, {"prompt": line}) for number, line in enumerate(lines, 1) if line.strip())


def _data_rows(file: Path, options: ReadOptions, decisions: list[str]) -> Iterator[NumberedRow]:
    opened = open_file(file, options)
    yield from read_opened(opened)
    decisions += [text for text in opened.decisions if text not in decisions]


def _layout(rows: Sequence[Row], config: ColumnsConfig, path: Path, *, completions: bool) -> PromptFile:
    """Find the columns among the first rows, since any one row may lack some; among all if these lack one."""
    merged: Row = {}
    for count, row in enumerate(rows, 1):
        merge(merged, row)
        if count == SAMPLE:
            try:
                return _found(merged, config, path.name, completions=completions)
            except ConfigError:
                continue
    if not rows:
        raise DataError(f"{path}: not one row can be read. Is this the right file, or is it damaged?")
    return _found(merged, config, path.name, completions=completions)


def _found(row: Row, config: ColumnsConfig, file: str, *, completions: bool) -> PromptFile:
    names = list(row)
    completion = find_column("completion", names, row, config.completion, file) if completions else None
    if completions and completion is None:  # then the last messages are the completions
        names = [name for name in names if name.lower() in CONVERSATIONS]
        if not names and config.prompt is None:
            raise missing_columns(["completion"], row, file)
    prompt = find_prompt([name for name in names if name != completion], row, config.prompt, file)
    if prompt is None:
        raise missing_columns(["prompt"], row, file)
    taken = {prompt, completion, *prompt.split(JOIN)}
    usual = REFERENCES if completions else (*REFERENCES, *USUAL["completion"])
    others = [name for name in named(list(row), usual) if name not in taken and _is_answer(row[name])]
    reference = config.reference and find_column("reference", names, row, config.reference, file)
    conversations = conversation_in(value_of(row, prompt)) is not None
    if completion is None and completions and not conversations:
        raise missing_columns(["completion"], row, file)
    return PromptFile(prompt, completion, reference or (others[0] if others else None), conversations)


def _is_answer(value: Any) -> bool:
    """Whether a column that is called like an answer has some, so that it can be the reference."""
    return isinstance(value, str | int | float) or is_message(value)


def _parsed(file: PromptFile, row: Row, place: Place, *, completions: bool) -> PromptRow:
    joined = tuple(file.prompt.split(JOIN)) if file.prompt not in row and JOIN in file.prompt else ()
    last: str | None = None
    if file.conversations:
        prompt, last = _conversation(file, row)
    else:
        prompt = prompt_text(row, file.prompt, joined)
    completion = last
    if file.completion is not None:
        completion = answer_text(value_of(row, file.completion), file.completion, file.notes)
    reference = last if not completions else None
    if file.reference is not None and value_of(row, file.reference) not in (None, ""):
        reference = answer_text(value_of(row, file.reference), file.reference, file.notes)
    if not completions:
        completion = None
    elif completion is None:
        raise Fault("conversation does not end with the assistant", file.prompt, row.get(file.prompt))
    if any(text is not None and unpacked(text) for text in (completion, reference)):
        raise Fault("answer calls tools, and only texts can be graded")
    known = {file.prompt, *joined, file.completion, file.reference}
    columns = {name: value for name, value in row.items() if name not in known}
    return PromptRow(prompt, completion, reference, columns, row, str(place))


def _conversation(file: PromptFile, row: Row) -> tuple[str, str | None]:
    """The messages up to the last question, as JSON, and the answer that follows, if any."""
    found = turns(value_of(row, file.prompt), file.prompt, file.notes)
    last = None
    if file.completion is None and found and found[-1]["role"] == "assistant":
        last = completion_of(found.pop())
    if not found or found[-1]["role"] not in ("user", "tool"):
        raise Fault("prompt does not end with the user", file.prompt, found[-1:])
    return with_tools(found, row.get(TOOLS)), last
