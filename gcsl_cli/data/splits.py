"""Split prompts by a salted hash of their normalized text, so that a prompt's split does not depend on its source."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.records import Prompt
from gcsl_cli.errors import ConfigError, DataError


@dataclass
class SplitConfig:
    """Fractions of the prompts to hold out; a split with fraction 0 is empty."""

    test: float = 0.2
    validation: float = 0.1
    minimum: int = 8
    """Smallest size of a split that is not empty, in prompts; without others, the training split may be smaller."""
    salt: str = "gcsl"


def prompt_id(text: str) -> str:
    """Hash a prompt, ignoring case and whitespace, to 16 hexadecimal digits."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]


def split_ids(ids: Sequence[str], split: SplitConfig) -> NDArray[np.str_]:
    """Assign each of the distinct `ids` to `train`, `validation` or `test`; shape `(ids,)`.

    Raises:
        ConfigError: the shares leave nothing to train on, or a setting is out of range.
        DataError: too few prompts for splits of the minimum size.
    """
    if split.test < 0 or split.validation < 0 or split.test + split.validation >= 1 or split.minimum < 1:
        raise ConfigError(
            f"task.split: test={split.test:g}, validation={split.validation:g}, minimum={split.minimum}; the shares "
            "must be at least 0 with a sum below 1, and the minimum at least 1. Omit them to use the defaults."
        )
    tests, validations = (split.minimum if share else 0 for share in (split.test, split.validation))
    training = split.minimum if tests or validations else 1
    if len(ids) < tests + validations + training:
        raise _too_few(len(ids), 1 + bool(tests) + bool(validations), split)
    digests = [hashlib.sha256(f"{split.salt}:{id_}".encode()).digest() for id_ in ids]
    draws = np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
    ranked = np.argsort(draws, kind="stable")
    tests = max(tests, int((draws < split.test).sum()))
    tests = min(tests, len(ids) - validations - training)
    held_out = int((draws < split.test + split.validation).sum()) if validations else tests
    held_out = min(max(tests + validations, held_out), len(ids) - training)
    names = np.full(len(ids), "train", dtype="U10")
    names[ranked[tests:held_out]] = "validation"
    names[ranked[:tests]] = "test"
    return names


def _too_few(prompts: int, splits: int, split: SplitConfig) -> DataError:
    """The error for too few prompts, with the settings that do with them."""
    smaller = f"task.split.minimum={prompts // splits} makes smaller splits, or " if prompts >= splits else ""
    return DataError(
        f"There {'is 1 distinct prompt' if prompts == 1 else f'are {prompts} distinct prompts'}; {splits} splits of at "
        f"least {split.minimum} need {splits * split.minimum}. Supply more prompts; {smaller}"
        "task.split.test=0 task.split.validation=0 trains on all of them, without evaluation. Few rows may also need a "
        "smaller train.batch_size."
    )


def split_prompts(texts: Sequence[str], split: SplitConfig) -> list[Prompt]:
    """Return the distinct prompts with their splits, ordered by unsalted hash, so that the first n are a fair sample.

    Raises:
        ConfigError, DataError: as `split_ids`.
    """
    by_id: dict[str, str] = {}
    for text in texts:
        by_id.setdefault(prompt_id(text), text)
    names = dict(zip(by_id, split_ids(list(by_id), split).tolist(), strict=True))
    return [Prompt(id_, by_id[id_], names[id_]) for id_ in sorted(by_id)]
