"""Fluency: the perplexity of a completion under a language model, given its prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gcsl_cli.data.artifacts import content
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.cached import CachedScorer, Done

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from gcsl_cli.models.prompting import Prompter

CHUNK = 256
"""Completions after which grades are kept."""


@dataclass
class PerplexityScorer(CachedScorer):
    """exp of the mean negative log-likelihood of the completion's tokens; lower is better. NaN without a token."""

    name: str = "perplexity"
    uri: str = "???"
    sha256: str | None = None
    revision: str | None = None

    lower_is_better: ClassVar[bool] = True

    def grade_new(self, examples: Sequence[Example], done: Done) -> None:
        """Grade in chunks.

        Raises:
            ArtifactError: the model cannot be fetched or loaded.
            ConfigError: the examples are chats and the model has no chat template.
        """
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            grades = self._perplexities(chunk)
            if missing := sum(not np.isfinite(grade) for grade in grades):
                self.ungraded["the completion has no token"] += missing
            done(range(start, start + len(chunk)), grades)

    def seen(self, example: Example) -> Any:
        """What the model reads."""
        return [example.format, example.prompt, example.completion]

    def keys(self) -> dict[str, Any]:
        """A local model by its content."""
        return super().keys() | {"uri": content(self.uri)}

    def _perplexities(self, examples: Sequence[Example]) -> list[float]:
        from gcsl_cli.generation.likelihood import completion_log_probs

        rows = [
            self._prompter(example.format).row(
                example.prompt, None, example.completion, finished=False, max_length=None
            )
            for example in examples
        ]
        kept = [place for place, row in enumerate(rows) if row.completion_tokens]
        found = np.full(len(rows), np.nan)
        if kept:
            pairs = [(rows[place].prompt_ids, rows[place].completion_ids) for place in kept]
            log_probs, tokens = completion_log_probs(self._model, pairs)
            found[kept] = np.exp(-log_probs / tokens)
        return [float(value) for value in found]

    def _prompter(self, prompt_format: str) -> "Prompter":
        from gcsl_cli.goals.spec import no_goal_spec
        from gcsl_cli.models.loading import context_length, load_config, load_tokenizer
        from gcsl_cli.models.prompting import Prompter

        if prompt_format not in self._prompters:
            spec = no_goal_spec("", prompt_format, "{prompt}")
            context = context_length(load_config(self._folder))
            self._prompters[prompt_format] = Prompter(load_tokenizer(self._folder), spec, context)
        return self._prompters[prompt_format]

    @cached_property
    def _prompters(self) -> dict[str, "Prompter"]:
        return {}

    @cached_property
    def _folder(self) -> Path:
        from gcsl_cli.models.loading import model_folder

        return model_folder(self.uri, self.sha256, self.revision)

    @cached_property
    def _model(self) -> "PreTrainedModel":
        from gcsl_cli.models.loading import inference_dtype, load_model

        return load_model(self._folder, inference_dtype())
