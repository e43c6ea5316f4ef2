"""A reward model or classifier: any `AutoModelForSequenceClassification` of transformers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcsl_cli.configs import ranges
from gcsl_cli.data.artifacts import content
from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.models.loading import (
    context_length,
    inference_dtype,
    load_config,
    load_model,
    load_tokenizer,
    model_folder,
)
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.cached import CachedScorer, Done

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

INPUTS = ("auto", "chat", "text", "pair", "completion")
DTYPES = ("auto", "bf16", "fp32")
SUFFIX = "ForSequenceClassification"


@dataclass
class RewardModelScorer(CachedScorer):
    """The model's output for a prompt with its completion: the number of a reward model, or a label's probability."""

    name: str = "reward_model"
    uri: str = "???"
    sha256: str | None = None
    revision: str | None = None
    label: str | None = None
    input: str = "auto"
    max_length: int | None = None
    dtype: str = "auto"
    batch_size: int = 32

    def grade_new(self, examples: Sequence[Example], done: Done) -> None:
        """Grade texts of similar length together, the longest first, so that memory runs out at once or never.

        Raises:
            ArtifactError: the model cannot be fetched or loaded.
            ConfigError: the model has several labels and none is chosen, or no chat template and `input` needs one.
        """
        label = self._label
        rows = self._token_ids(examples)
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]["input_ids"]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            grades = self._outputs([rows[index] for index in batch], label)
            if missing := sum(not np.isfinite(grade) for grade in grades):
                self.ungraded["the model's output is not a number"] += missing
            done(batch, grades)

    def seen(self, example: Example) -> Any:
        """What the model reads."""
        return [example.format, example.prompt, example.completion]

    def keys(self) -> dict[str, Any]:
        """A local model by its content; the batch size changes no grade."""
        kept = {key: value for key, value in super().keys().items() if key != "batch_size"}
        return kept | {"uri": content(self.uri)}

    def check(self) -> None:
        """Raise `ConfigError` for an unknown kind of input or number."""
        for key, allowed in (("input", INPUTS), ("dtype", DTYPES)):
            value = getattr(self, key)
            if value not in allowed:
                near = did_you_mean(value, allowed)
                raise ConfigError(f"scorer.{key}={value}: unknown.{near} Allowed: {listed(allowed)}.")
        for key in ("batch_size", "max_length"):
            for problem in ranges.count(f"scorer.{key}", getattr(self, key)):
                raise ConfigError(problem)
        self._label  # noqa: B018  # needs the model's config only

    def limits(self) -> tuple[float, float] | None:
        """Those of a probability; the number of a reward model has none."""
        return None if self._label is None else (0.0, 1.0)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.uri, self.sha256, self.revision)

    @cached_property
    def _config(self) -> "PreTrainedConfig":
        config = load_config(self._folder)
        found = listed(config.architectures or [])
        if not any(name.endswith(SUFFIX) for name in config.architectures or []):
            raise ConfigError(
                f"scorer.uri={self.uri}: {found} has no head that grades. A reward model or classifier is a "
                f"...{SUFFIX}."
            )
        return config

    @cached_property
    def _label(self) -> int | None:
        """Index of the label whose probability is the grade; None for a model with a single output."""
        names = [str(self._config.id2label[index]) for index in range(self._config.num_labels)]
        if self.label is None and len(names) > 1:
            raise ConfigError(
                f"scorer.uri={self.uri} has {len(names)} labels: {listed(names)}. Choose the one whose probability is "
                f"the grade, for example scorer.label={names[-1]}."
            )
        if self.label is None:
            return None
        if len(names) == 1:
            raise ConfigError(f"scorer.label={self.label}: {self.uri} has one output, which is the grade. Omit it.")
        if self.label not in names:
            near = did_you_mean(self.label, names)
            raise ConfigError(f"scorer.label={self.label}: no such label.{near} {self.uri} has {listed(names)}.")
        return names.index(self.label)

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase":
        tokenizer = load_tokenizer(self._folder)
        tokenizer.padding_side = "right"
        tokenizer.truncation_side = "left"  # what is graded is at the end
        return tokenizer

    @cached_property
    def _model(self) -> "PreTrainedModel":
        import torch

        dtype = {"auto": inference_dtype(), "bf16": torch.bfloat16, "fp32": torch.float32}[self.dtype]
        model = load_model(self._folder, dtype, kind=f"AutoModel{SUFFIX}")
        model.config.pad_token_id = self._tokenizer.pad_token_id  # models that read the last token need to find it
        return model

    def _token_ids(self, examples: Sequence[Example]) -> list[Any]:
        """Token ids and masks of each example, cut from the left at the length limit."""
        tokenizer = self._tokenizer
        chat = self.input == "chat" or (self.input == "auto" and tokenizer.chat_template is not None)
        if chat and tokenizer.chat_template is None:
            raise ConfigError(f"scorer.input=chat: {self.uri} has no chat template. Use text, pair or completion.")
        limits = [self.max_length, context_length(self._config), tokenizer.model_max_length]
        length = min(limit for limit in limits if limit is not None)
        if chat:
            texts: list[Any] = [tokenizer.apply_chat_template(one.messages(), tokenize=False) for one in examples]
        elif self.input == "completion":
            texts = [example.completion for example in examples]
        elif self.input == "pair":
            texts = [(example.prompt_text(), example.completion) for example in examples]
        else:
            texts = [_joined(example) for example in examples]
        # A chat template writes the special tokens itself.
        encoded = tokenizer(texts, truncation=True, max_length=length, add_special_tokens=not chat)
        return [{name: encoded[name][index] for name in encoded} for index in range(len(texts))]

    def _outputs(self, rows: Sequence[Any], label: int | None) -> list[float]:
        import torch

        model = self._model
        batch = self._tokenizer.pad(list(rows), return_tensors="pt").to(model.device)
        with torch.inference_mode():
            logits: torch.Tensor = model(**batch).logits.float()
        if label is None:
            return [float(value) for value in logits[:, 0]]
        several = self._config.problem_type == "multi_label_classification"
        chances = logits.sigmoid() if several else logits.softmax(dim=-1)
        return [float(value) for value in chances[:, label]]


def _joined(example: Example) -> str:
    return example.prompt_text() + ("" if example.format == "plain" else "\n\n") + example.completion
