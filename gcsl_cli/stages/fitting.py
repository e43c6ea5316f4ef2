"""Rows that do not fit the model: what its chat template cannot render, prompts that are too long, special tokens.

Prompts are measured only if they have at least as many bytes as the limit has tokens, since a token has at least one
byte. So files of short prompts cost nothing.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gcsl_cli.configs.choices import TooLong
from gcsl_cli.configs.schema import Config
from gcsl_cli.data.records import FeedbackRow, FeedbackRows, Prompt, named_place
from gcsl_cli.errors import DataError
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.models.chat import cut_conversation, cut_text
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.rendering import rendered

NAMED = 3
"""Rows that an error names."""
GOAL_ROOM = 128
"""Tokens kept free for a goal before evaluation prompts, whose goals are not known when they are chosen."""
ADAPTED = "neighbours of one role joined, the system's text put first in the user's turn"
PROBE = FeedbackRow("x", "", 0.0, "", "")
PROBES = {"messages": '[{"role": "user", "content": "x"}]'}

log = logging.getLogger("gcsl")


@dataclass
class Fitted:
    """The rows that fit, and what was done to make them fit."""

    train: FeedbackRows
    validation: FeedbackRows
    notes: list[str]


def fitted(
    experiment: Experiment,
    spec: GoalSpec,
    train: FeedbackRows,
    validation: FeedbackRows,
    max_length: int | None,
    asked: Sequence[Prompt] = (),
) -> Fitted:
    """Make rows fit, as configured: prompts that leave no room, completions with special tokens or tool calls.

    `max_length` limits a row in tokens, beside the model's context. `asked` are the evaluation prompts, which are
    measured along, so that one error names everything that is too long.

    Raises:
        DataError: there are prompts that leave no room, and `train.too_long` is `error`; rows that cannot be rendered,
            and `task.on_error` is `fail`; or no training row is left.
    """
    config, prompter = experiment.config, experiment.prompter(spec)
    strip = bool(getattr(experiment.task, "strip_special_tokens", False))
    # First, because calls may be rendered with special tokens.
    both, specials = _without_specials(prompter, [train, validation], strip=strip)
    both, left_out = rendered(experiment.task, prompter, both)
    notes = [*left_out, *template_notes(prompter, both), *specials]
    limits = [length for length in (max_length, prompter.context) if length is not None]
    if not limits:
        return Fitted(both[0], both[1], notes)
    fit = _Fit(prompter, longest_first(prompter, _goals(spec))[0], min(limits), config.train.too_long)
    long = [fit.too_long(rows) for rows in both]
    count, total = sum(map(len, long)), sum(map(len, both))
    if fit.rule is TooLong.error:
        unanswered = fit.unanswered(asked, config.generation.max_new_tokens)
        if count or unanswered:
            named = [(rows[index], tokens) for rows, found in zip(both, long, strict=True) for index, tokens in found]
            raise _refusal(config, fit, named, total, unanswered, len(asked))
    if count:
        notes.append(fit.note(count, total))
        both = [fit.applied(rows, found) for rows, found in zip(both, long, strict=True)]
    if len(train) and not len(both[0]):
        raise DataError(f"All {len(train)} training rows have prompts of {fit.limit} tokens or more. Raise the limit.")
    return Fitted(both[0], both[1], notes)


def fitting_prompts(
    experiment: Experiment, prompts: Sequence[Prompt], feedback: FeedbackRows | None = None
) -> list[Prompt]:
    """The evaluation prompts that leave room for a goal and a completion, or their ends, as `train.too_long` says.

    Under `error` all stay; the stages refuse those that do not fit.

    Raises:
        DataError: the chat template cannot render a prompt, and `task.on_error` is `fail`; the message names all such
            rows of `feedback`.
    """
    config, prompter = experiment.config, experiment.plain_prompter
    rows = _without_completions(prompts)
    try:
        (rows,), notes = rendered(experiment.task, prompter, [rows])
    except DataError:
        if feedback is not None:
            rendered(experiment.task, prompter, [feedback])
        raise
    if config.train.too_long is not TooLong.error and prompter.context is not None:
        limit = max(prompter.context - config.generation.max_new_tokens - GOAL_ROOM, 1)
        fit = _Fit(prompter, None, limit, config.train.too_long)
        long = fit.too_long(rows)
        notes += [fit.note(len(long), len(rows))] if long else []
        rows = fit.applied(rows, long)
    for note in notes:
        log.info("evaluation prompts: %s", note)
    return [Prompt(row.prompt_id, row.prompt, row.split, row.source) for row in rows]


def _without_completions(prompts: Sequence[Prompt]) -> FeedbackRows:
    return FeedbackRows.of(
        FeedbackRow(prompt.text, "", 0.0, prompt.prompt_id, prompt.split, source=prompt.source) for prompt in prompts
    )


def template_notes(prompter: Prompter, parts: Sequence[FeedbackRows]) -> list[str]:
    """Notes on conversations that the chat template can only render changed, or without their tools."""
    if prompter.spec.prompt_format != "messages":
        return []
    notes = []
    if not prompter.traits.system or prompter.traits.alternating:
        changed = sum(prompter.changes(prompt) for rows in parts for prompt in rows.table["prompt"].to_pylist())
        if changed:
            notes.append(f"{changed} conversations changed to suit the model's chat template: {ADAPTED}")
    # Conversations are lists; those with tools are objects.
    prompts = [rows.table["prompt"].filter(pc.starts_with(rows.table["prompt"], "{")) for rows in parts]
    with_tools = pa.chunked_array([chunk for column in prompts for chunk in column.chunks], pa.string())
    if len(with_tools) and not prompter.shows_tools(with_tools[0].as_py()):
        notes.append(f"{len(with_tools)} conversations have tools, which the model's chat template leaves out")
    return notes


def special_token_notes(prompter: Prompter, rows: FeedbackRows) -> list[str]:
    """A note on completions that contain special tokens of the model."""
    return _without_specials(prompter, [rows], strip=False)[1]


def _without_specials(
    prompter: Prompter, both: list[FeedbackRows], *, strip: bool
) -> tuple[list[FeedbackRows], list[str]]:
    """The rows, without special tokens in their completions if `strip` is set, and a note on such completions."""
    end, specials = prompter.end_text, [re.escape(text) for text in prompter.tokenizer.all_special_tokens if text]
    if not specials:
        return both, []
    # The token that ends a completion may stand at its end.
    others = "|".join(text for text in specials if text != re.escape(end))
    inside = f"(?s){others}" + (f"{'|' if others else ''}{re.escape(end)}\\s*\\S" if end else "")
    count = sum(pc.sum(pc.match_substring_regex(rows.table["completion"], inside)).as_py() or 0 for rows in both)
    if not count:
        return both, []
    if not strip:
        advice = "they are trained as they are (task.strip_special_tokens=true removes them)"
        return both, [f"{count} completions contain special tokens of the model; {advice}"]
    pattern = "|".join(specials)
    stripped = [
        rows.with_column("completion", pc.replace_substring_regex(rows.table["completion"], pattern, ""))
        for rows in both
    ]
    return stripped, [f"special tokens removed from {count} completions (task.strip_special_tokens)"]


def _goals(spec: GoalSpec) -> list[float | None]:
    return [*spec.long_goals] if spec.has_goal else [None]


def longest_first(prompter: Prompter, goals: Sequence[float | None]) -> list[float | None]:
    """The goals by their numbers of tokens."""
    return sorted(goals, key=lambda goal: -prompter.lengths([_probe(prompter.spec)], goal)[0])


def _probe(spec: GoalSpec) -> FeedbackRow:
    return replace(PROBE, prompt=PROBES.get(spec.prompt_format, PROBE.prompt))


@dataclass(frozen=True)
class _Fit:
    prompter: Prompter
    goal: float | None
    """The goal with the most tokens."""
    limit: int
    """Tokens of a row, of which its prompt must leave one."""
    rule: TooLong

    def too_long(self, rows: FeedbackRows) -> list[tuple[int, int]]:
        """Index and tokens of each row whose prompt leaves no room."""
        if not len(rows):
            return []
        around = self.prompter.lengths([_probe(self.prompter.spec)], self.goal)[0]
        suspects = np.flatnonzero(pc.binary_length(rows.table["prompt"]).to_numpy() + around >= self.limit)
        lengths = self.prompter.lengths(list(rows.take(suspects)), self.goal)
        return [
            (index, tokens) for index, tokens in zip(suspects.tolist(), lengths, strict=True) if tokens >= self.limit
        ]

    def unanswered(self, asked: Sequence[Prompt], room: int) -> list[tuple[FeedbackRow, int]]:
        """The prompts that leave no room for so many tokens in the model's context, and their own numbers of tokens."""
        if not asked or self.prompter.context is None:
            return []
        rows = _without_completions(asked)
        found = replace(self, limit=self.prompter.context - room + 1).too_long(rows)
        return [(rows[index], tokens) for index, tokens in found]

    def note(self, count: int, total: int) -> str:
        """A note on rows that are too long."""
        done = "with prompts cut from the left" if self.rule is TooLong.cut_prompt else "with long prompts left out"
        return f"{count} of {total} rows {done}: the limit is {self.limit} tokens (train.too_long)"

    def applied(self, rows: FeedbackRows, found: Sequence[tuple[int, int]]) -> FeedbackRows:
        """The rows without those found, or with their prompts cut."""
        places = np.array([index for index, _ in found], dtype=np.int64)
        if self.rule is TooLong.skip:
            return rows.take(np.setdiff1d(np.arange(len(rows)), places))
        if not len(places):
            return rows
        prompts = rows.table["prompt"].to_pylist()
        for index in places.tolist():
            prompts[index] = self.cut(rows[index])
        return rows.with_column("prompt", pa.array(prompts, pa.string()))

    def cut(self, row: FeedbackRow) -> str:
        """The end of a row's prompt that leaves room for its completion, of which half the limit is enough.

        Raises:
            DataError: not even an empty prompt fits.
        """
        completion = len(self.prompter.tokenizer(row.completion, add_special_tokens=False)["input_ids"]) + 1
        room = max(self.limit - completion, self.limit // 2)

        def fits(prompt: str) -> bool:
            return self.prompter.lengths([replace(row, prompt=prompt)], self.goal)[0] <= room

        if self.prompter.spec.prompt_format == "messages":
            cut = cut_conversation(row.prompt, fits)
        else:
            cut = cut_text(row.prompt, fits)
        if not fits(cut):
            raise DataError(
                f"{named_place(row)}: the goal and the chat template alone leave no room for a prompt in {self.limit} "
                "tokens. Raise train.max_length, or shorten the goal."
            )
        return cut


def _refusal(
    config: Config,
    fit: _Fit,
    found: Sequence[tuple[FeedbackRow, int]],
    total: int,
    unanswered: Sequence[tuple[FeedbackRow, int]],
    asked: int,
) -> DataError:
    context, room, faults = fit.prompter.context, config.generation.max_new_tokens, []
    longer = ""
    if found:
        longest = max(tokens for _, tokens in found)
        of = "train.max_length" if fit.limit == config.train.max_length else "the model's context"
        faults.append(
            f"{len(found)} of {total} rows have prompts that leave no room for a completion in {fit.limit} tokens "
            f"({of}): {_places(found)}."
        )
        longer = f"raise train.max_length above {longest}, or " if context is None or longest < context else ""
    if unanswered:
        faults.append(
            f"{len(unanswered)} of {asked} evaluation prompts leave no room for {room} tokens "
            f"(generation.max_new_tokens) in the model's context of {context}: {_places(unanswered)}."
        )
    return DataError(
        f"{' '.join(faults)} To go on, {longer}use train.too_long=skip, which leaves them out, or "
        "train.too_long=cut_prompt, which cuts their beginning."
    )


def _places(found: Sequence[tuple[FeedbackRow, int]]) -> str:
    places = ", ".join(f"{named_place(row)} ({tokens})" for row, tokens in found[:NAMED])
    return f"{places}{' and others' if len(found) > NAMED else ''}"
