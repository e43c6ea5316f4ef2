r"""From a prompt, a goal and a completion to tokens: the one place where training and generation meet.

A prompt "I wanted to" under the best goal, plain format: "The following text contains kind language:\nI wanted to".
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.goals.spec import GoalSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Tokens of prompt and completion; the first `prompt_tokens` are not supervised."""

    input_ids: list[int]
    prompt_tokens: int
    cut: bool
    """The completion was cut at the length limit."""
    seam: bool
    """Prompt and completion merge into other tokens when they are tokenized as one text."""

    @property
    def supervised(self) -> int:
        """Number of tokens that the loss counts."""
        return len(self.input_ids) - self.prompt_tokens


@dataclass(frozen=True)
class Prompter:
    """Renders and tokenizes prompts with or without a goal."""

    tokenizer: "PreTrainedTokenizerBase"
    spec: GoalSpec
    context: int | None = None
    """Tokens that the model can take."""

    def text(self, prompt: str, level: int | None) -> str:
        """What the model reads before the completion; level `None` names no goal.

        Raises:
            ConfigError: the format is `chat` and the model has no chat template.
        """
        text = self.spec.render(prompt, level)
        if self.spec.prompt_format == "plain":
            return text
        if self.tokenizer.chat_template is None:
            raise ConfigError("task.format=chat: the model's tokenizer has no chat template. Use task.format=plain.")
        turn = [{"role": "user", "content": text}]
        return str(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))

    def prompt_ids(self, prompt: str, level: int | None, room: int = 0) -> list[int]:
        """Tokens of the prompt.

        Raises:
            DataError: they and `room` more do not fit the model's context.
        """
        ids = self._ids(self.text(prompt, level))
        if self.context is not None and len(ids) + room > self.context:
            raise DataError(
                f"The prompt {prompt[:40]!r}... has {len(ids)} tokens with its goal; with {room} more for the "
                f"completion it exceeds the model's context of {self.context}. Shorten the prompt or the completion."
            )
        return ids

    def row(
        self, prompt: str, level: int | None, completion: str, *, finished: bool, max_length: int | None
    ) -> EncodedRow:
        """Tokens of a training row.

        The prompt's tokens are what generation will feed, so they have to be a prefix of the row's; where the seam
        merges into other tokens, the completion is tokenized by itself. A finished completion teaches an end of text;
        one that was cut, here or when it was sampled, does not.

        Raises:
            DataError: the prompt alone exceeds the model's context.
        """
        text = self.text(prompt, level)
        ids = self.prompt_ids(prompt, level)
        whole = self._ids(text + completion)
        seam = whole[: len(ids)] != ids
        completion_ids = self._completion_ids(completion) if seam else whole[len(ids) :]
        if finished:
            completion_ids = [*completion_ids, *self._end()]
        limit = min(
            length for length in (max_length, self.context, len(ids) + len(completion_ids)) if length is not None
        )
        kept = (ids + completion_ids)[:limit]
        return EncodedRow(kept, min(len(ids), len(kept)), len(kept) < len(ids) + len(completion_ids), seam)

    def lengths(
        self,
        prompts: list[str],
        completions: list[str],
        levels: list[int],
        finished: list[bool],
        max_length: int | None,
    ) -> NDArray[np.int64]:
        """Tokens of each training row, `(rows,)`."""
        rows = zip(prompts, completions, levels, finished, strict=True)
        return np.array(
            [len(self.row(p, g, c, finished=f, max_length=max_length).input_ids) for p, c, g, f in rows], dtype=np.int64
        )

    def _ids(self, text: str) -> list[int]:
        # A chat template writes the special tokens itself.
        special = self.spec.prompt_format == "plain"
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _completion_ids(self, completion: str) -> list[int]:
        return list(self.tokenizer(completion, add_special_tokens=False)["input_ids"])

    def _end(self) -> list[int]:
        return [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
