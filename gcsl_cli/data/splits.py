"""Splits by a salted hash of the normalised prompt, so that a prompt is in one split wherever it comes from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.data.records import Prompt
from gcsl_cli.errors import ConfigError, DataError


@dataclass
class SplitConfig:
    """Shares of the prompts that are held out."""

    test: float = 0.2
    validation: float = 0.1
    minimum: int = 8
    """Smallest size of a split, in prompts."""
    salt: str = "gcsl"


def prompt_id(text: str) -> str:
    """Sixteen hex digits of the prompt's text with case and white space folded."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]


def split_ids(ids: Sequence[str], split: SplitConfig) -> NDArray[np.str_]:
    """The split of each of the distinct `ids`: `train`, `validation` or `test`, `(ids,)`.

    Raises:
        ConfigError: the shares leave nothing to train on.
        DataError: there are too few prompts for three splits of the minimum size.
    """
    if split.test < 0 or split.validation < 0 or split.test + split.validation >= 1 or split.minimum < 1:
        raise ConfigError(
            f"task.split: test={split.test:g}, validation={split.validation:g}, minimum={split.minimum}; the shares "
            "have to be at least 0 and below 1 in sum, the minimum at least 1. Leave them out for the defaults."
        )
    if len(ids) < 3 * split.minimum:
        raise DataError(
            f"There are {len(ids)} distinct prompts; three splits of at least {split.minimum} need "
            f"{3 * split.minimum}. Give more prompts or a smaller task.split.minimum."
        )
    draws = np.array([_draw(id_, split.salt) for id_ in ids])
    ranked = np.argsort(draws, kind="stable")
    tests = max(split.minimum, int((draws < split.test).sum()))
    tests = min(tests, len(ids) - 2 * split.minimum)
    held_out = max(tests + split.minimum, int((draws < split.test + split.validation).sum()))
    held_out = min(held_out, len(ids) - split.minimum)
    names = np.full(len(ids), "train", dtype="U10")
    names[ranked[tests:held_out]] = "validation"
    names[ranked[:tests]] = "test"
    return names


def split_prompts(texts: Sequence[str], split: SplitConfig) -> list[Prompt]:
    """Each distinct prompt once with its split, in the order of the unsalted hash: the first n are a fair sample.

    Raises:
        ConfigError: the shares leave nothing to train on.
        DataError: there are too few prompts for three splits of the minimum size.
    """
    by_id: dict[str, str] = {}
    for text in texts:
        by_id.setdefault(prompt_id(text), text)
    names = dict(zip(by_id, split_ids(list(by_id), split).tolist(), strict=True))
    return [Prompt(id_, by_id[id_], names[id_]) for id_ in sorted(by_id)]


def _draw(id_: str, salt: str) -> float:
    digest = hashlib.sha256(f"{salt}:{id_}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
