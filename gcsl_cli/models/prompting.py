r"""Render and tokenize prompts, goals and completions. Training and generation both go through `Prompter`.

The prompt "I wanted to" under the best goal, plain format: "The following text contains kind language:\nI wanted to".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gcsl_cli.data.calls import unpacked
from gcsl_cli.data.records import FeedbackRow, Prompt, named_place
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.template import ChatTraits, goal_template
from gcsl_cli.models.chat import Message, RefusedError, adapted, chat_traits, conversation, render, turn_end
from gcsl_cli.models.tool_calls import check_calls, text_of_calls

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMED = 3
"""Prompts that an error names."""


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Tokens of a prompt and its completion; the first `prompt_tokens` are not supervised."""

    input_ids: list[int]
    prompt_tokens: int
    truncated: bool
    """The row was truncated at the length limit."""
    retokenized: bool
    """The boundary between prompt and completion retokenizes: as one text they have other tokens than apart."""
    negative: bool = False
    """To be made less likely, as under a goal that the row misses: the likelihood loss leaves it out."""

    @property
    def prompt_ids(self) -> list[int]:
        """Tokens of the prompt, including the goal."""
        return self.input_ids[: self.prompt_tokens]

    @property
    def completion_ids(self) -> list[int]:
        """Tokens of the completion."""
        return self.input_ids[self.prompt_tokens :]

    @property
    def completion_tokens(self) -> int:
        """Number of tokens of the completion."""
        return len(self.input_ids) - self.prompt_tokens

    @property
    def supervised(self) -> int:
        """Number of tokens that count towards the likelihood loss."""
        return 0 if self.negative else self.completion_tokens

    def as_negative(self) -> "EncodedRow":
        """The same tokens, left out of the likelihood loss."""
        return replace(self, negative=True)


@dataclass(frozen=True)
class Prompter:
    """Renders and tokenizes prompts, with or without a goal."""

    tokenizer: "PreTrainedTokenizerBase"
    """The model's tokenizer with its own chat template, plus the control tokens if the wording uses them."""
    spec: GoalSpec
    context: int | None = None
    """The model's context length in tokens; `None`: no limit."""

    @cached_property
    def template(self) -> str:
        """Chat template that inserts the goal.

        Raises:
            ConfigError: the format is a chat and the model has no chat template, or the template does not support the
                placement.
        """
        if self.spec.prompt_format == "plain":
            return goal_template(self.spec, None, start=self.start)
        if self.tokenizer.chat_template is None:
            way = "Use task.format=plain."
            if self.spec.prompt_format == "messages":
                way = "The prompts are conversations, so use a model that has one, such as its instruct version."
            raise ConfigError(
                f"task.format={self.spec.prompt_format}: the model's tokenizer has no chat template. {way}"
            )
        return goal_template(self.spec, self.tokenizer.chat_template, self.traits)

    @cached_property
    def traits(self) -> ChatTraits:
        """How the model's own chat template treats roles."""
        return chat_traits(self.tokenizer)

    @cached_property
    def start(self) -> str:
        """Text of the BOS token if the tokenizer adds one, otherwise empty."""
        ids = self.tokenizer("x")["input_ids"]
        bos = self.tokenizer.bos_token_id
        return str(self.tokenizer.bos_token) if bos is not None and ids[0] == bos else ""

    @cached_property
    def end(self) -> list[int]:
        """The token that ends a completion, as a list; empty if the tokenizer has no such token."""
        plain = self.spec.prompt_format == "plain"
        end = self.tokenizer.eos_token_id if plain else turn_end(self.tokenizer)
        return [] if end is None else [int(end)]

    def text(self, prompt: str, goal: float | None, place: str = "") -> str:
        """Render the text before the completion; with `goal=None` it contains no goal.

        `place` is where the prompt comes from, for error messages.

        Raises:
            DataError: the model's chat template refuses the conversation.
        """
        if self.spec.prompt_format == "plain":
            return self.start + self.spec.render(prompt, goal)
        asked = "none" if goal is None else self.spec.asked(goal)
        turns, tools = self._conversation(prompt)
        try:
            return render(self.tokenizer, turns, tools, chat_template=self.template, goal=asked)
        except RefusedError as error:
            raise DataError(
                f"{place or repr(prompt[:60])}: the model's chat template {error}. Change the conversation, or use "
                "another model."
            ) from error

    def check(self, prompt: str) -> None:
        """Check that the chat template renders a conversation and all tool calls in it.

        Raises:
            RefusedError: it does not.
        """
        turns, tools = self._conversation(prompt)
        render(self.tokenizer, turns, tools, chat_template=self.template, goal="none")
        check_calls(self.tokenizer, turns)

    def completion(self, prompt: str, completion: str) -> str:
        """The text of a completion; one that calls tools is rendered by the chat template, without the end token.

        Raises:
            RefusedError: the template cannot render it.
        """
        message = unpacked(completion)
        if message is None:
            return completion
        if self.spec.prompt_format == "plain":
            raise RefusedError("is not used (task.format=plain), but tool calls need it")
        turns, tools = self._conversation(prompt)
        return self._without_end(text_of_calls(self.tokenizer, turns, tools, message))

    def _conversation(self, prompt: str) -> tuple[list[Message], list[Any] | None]:
        """The messages of a prompt as the template can render them, and the tools that they may call."""
        turns, tools = conversation(prompt, self.spec.prompt_format)
        return adapted(turns, self.traits), tools

    def changes(self, prompt: str) -> bool:
        """Whether a conversation is changed to suit the model's chat template."""
        return self._conversation(prompt)[0] != conversation(prompt, self.spec.prompt_format)[0]

    def shows_tools(self, prompt: str) -> bool:
        """Whether the chat template writes the tools of a conversation that has some."""
        turns, tools = self._conversation(prompt)
        try:
            without = render(self.tokenizer, turns, None, chat_template=self.template, goal="none")
        except RefusedError:
            return True  # it insists on tools
        return render(self.tokenizer, turns, tools, chat_template=self.template, goal="none") != without

    def lengths(self, rows: Sequence[FeedbackRow], goal: float | None) -> list[int]:
        """Tokens of each row's prompt, however long it is."""
        return [len(ids) for ids in self._ids([self.text(row.prompt, goal, row.source) for row in rows])]

    def prompt_ids(self, prompt: str, goal: float | None, room: int = 0) -> list[int]:
        """Tokenize a prompt.

        Raises:
            DataError: the prompt and `room` more tokens exceed the model's context.
        """
        return self.all_prompt_ids([Prompt("", prompt, "")], goal, room)[0]

    def all_prompt_ids(self, prompts: Sequence[Prompt], goal: float | None, room: int = 0) -> list[list[int]]:
        """Tokenize many prompts under one goal.

        Raises:
            DataError: prompts and `room` more tokens exceed the model's context; they are counted, the first named.
        """
        all_ids = self._ids([self.text(prompt.text, goal, prompt.source) for prompt in prompts])
        sizes = zip(prompts, map(len, all_ids), strict=True)
        self._check_fit([(named_place(prompt), size) for prompt, size in sizes], room)
        return all_ids

    def row(
        self, prompt: str, goal: float | None, completion: str, *, finished: bool, max_length: int | None
    ) -> EncodedRow:
        """Tokenize one training row."""
        return self.rows([FeedbackRow(prompt, completion, 0.0, "", "", finished)], [goal], max_length)[0]

    def rows(
        self, rows: Sequence[FeedbackRow], goals: Sequence[float | None], max_length: int | None
    ) -> list[EncodedRow]:
        """Tokenize training rows, each under its goal.

        Generation feeds the model the tokens of the prompt, so a row has to start with exactly those. If prompt and
        completion would merge at their boundary, the completion is tokenized separately. Finished completions are
        followed by the end token; completions truncated here or during sampling are not.

        Raises:
            DataError: a prompt alone exceeds the model's context.
        """
        texts = [self.text(row.prompt, goal, row.source) for row, goal in zip(rows, goals, strict=True)]
        rows = [replace(row, completion=self._without_end(row.completion)) if row.finished else row for row in rows]
        # In batches the tokenizer uses all cores.
        prompts = self._ids(texts)
        wholes = self._ids([text + row.completion for text, row in zip(texts, rows, strict=True)])
        return [self._row(row, ids, whole, max_length) for row, ids, whole in zip(rows, prompts, wholes, strict=True)]

    def _without_end(self, completion: str) -> str:
        """A finished completion without an end token of its own, as logs have it, because one is added to it."""
        text = completion.rstrip()
        return text.removesuffix(self.end_text) if self.end_text and text.endswith(self.end_text) else completion

    @cached_property
    def end_text(self) -> str:
        """The text of the token that ends a completion; empty if there is none."""
        return str(self.tokenizer.decode(self.end)) if self.end else ""

    def _row(self, row: FeedbackRow, ids: list[int], whole: list[int], max_length: int | None) -> EncodedRow:
        self._check_fit([(named_place(row), len(ids))], 0)
        retokenized = whole[: len(ids)] != ids
        completion = self._ids([row.completion])[0] if retokenized else whole[len(ids) :]
        if row.finished:
            completion = [*completion, *self.end]
        tokens = ids + completion
        limit = min(length for length in (max_length, self.context, len(tokens)) if length is not None)
        kept = tokens[:limit]
        return EncodedRow(kept, min(len(ids), len(kept)), len(kept) < len(tokens), retokenized)

    def _check_fit(self, sizes: Sequence[tuple[str, int]], room: int) -> None:
        """Check places and numbers of tokens of prompts."""
        long = [f"{place} ({size} tokens)" for place, size in sizes if self.context and size + room > self.context]
        if long:
            named = ", ".join(long[:NAMED]) + (" and others" if len(long) > NAMED else "")
            verb = "is" if len(long) == 1 else "are"
            raise DataError(
                f"{len(long)} of {len(sizes)} prompts {verb} too long: {named}. With the goal and {room} "
                f"more tokens for the completion, each exceeds the model's context of {self.context}. Shorten prompts "
                "or completions, or use train.too_long=skip or train.too_long=cut_prompt."
            )

    def _ids(self, texts: list[str]) -> list[list[int]]:
        # The texts already contain their special tokens. The tokenizer rejects an empty list.
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        return ids
