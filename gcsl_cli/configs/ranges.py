"""Allowed ranges of values in a config, each with the message for a value outside it."""

import math
import os
import re
from collections.abc import Iterator
from enum import StrEnum

LARGEST_COUNT = 2**31 - 1
LARGEST_SEED = 2**32 - 1
"""NumPy takes no larger seed."""
TEMPERATURES = (0.001, 1000.0)
"""Beyond these, logits divided by the temperature overflow."""
MOST_GUIDANCE = 1000
LONGEST_NAME = 100
LONGEST_PATH_PART = 255
"""File systems take no more bytes for the name of a folder, into which the names of task, model and method go."""
LONGEST_PATH = 3000
"""Linux takes 4095 bytes; a run's own folders and files need some of them."""


def count(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is at least 1 and fits 32 bits; `None` is not checked."""
    if value is not None and not value >= 1:
        yield f"{path}={value}: must be a whole number of at least 1. Try {path}=1 or leave it out."
    elif value is not None and value > LARGEST_COUNT:
        yield f"{path}={value}: must be at most {LARGEST_COUNT}. Leave it out for the default."


def seed(path: str, value: int) -> Iterator[str]:
    """Yield a message unless the value is a seed that all random generators take."""
    if not 0 <= value <= LARGEST_SEED:
        yield f"{path}={value}: must be a whole number from 0 to {LARGEST_SEED}. Try {path}=0 or leave it out."


def not_negative(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is finite and at least 0; `None` is not checked."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        yield f"{path}={value}: must be a finite number of at least 0. Try {path}=0 or leave it out."


def positive(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is finite and above 0; `None` is not checked."""
    if value is not None and not (math.isfinite(value) and value > 0):
        yield f"{path}={value}: must be a finite number above 0. Leave it out for the default."


def between(path: str, value: float, low: float, high: float, advice: str = "") -> Iterator[str]:
    """Yield a message unless the value is in the closed range."""
    if not low <= value <= high:
        yield f"{path}={value}: must be a number from {low:g} to {high:g}. {advice or 'Leave it out for the default.'}"


def temperature(path: str, value: float) -> Iterator[str]:
    """Yield a message unless sampling can compute with the temperature."""
    yield from between(path, value, *TEMPERATURES, advice="1 samples from the model's own distribution.")


def guidance(path: str, value: float) -> Iterator[str]:
    """Yield a message unless the value is a weight of guidance that logits can be multiplied by."""
    yield from between(path, value, 0, MOST_GUIDANCE, "0 is no guidance.")


def top_p(path: str, value: float) -> Iterator[str]:
    """Yield a message unless the value is a share of the probability."""
    if not 0 < value <= 1:
        yield f"{path}={value}: must be above 0 and at most 1. 1 samples from all tokens."


def finite(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is finite; `None` is not checked."""
    if value is not None and not math.isfinite(value):
        yield f"{path}={value}: must be a finite number. Leave it out for the default."


def choice(path: str, value: str, allowed: type[StrEnum]) -> Iterator[str]:
    """Yield a message unless the value is a member of the enum; needed where a config is changed from Python."""
    if value not in list(allowed):
        yield f"{path}={value}: expected one of: {', '.join(allowed)}."


def name(path: str, value: str) -> Iterator[str]:
    """Yield a message unless the value can be part of a folder's name."""
    if value in ("", ".", "..") or not value.isprintable() or set(value) & set("/\\") or _size(value) > LONGEST_NAME:
        yield (
            f"{path}={value[:LONGEST_NAME]}: it becomes part of a folder's name, so it must be one to {LONGEST_NAME} "
            "printable characters without slashes."
        )


def folder(path: str, value: str | None) -> Iterator[str]:
    """Yield a message unless the value can be the path of a folder; `None` is not checked."""
    if value is None:
        return
    if not value.strip():
        yield f"{path} is empty: give the path of a folder, or leave it out for the default."
    elif not value.isprintable() or any(_size(part) > LONGEST_PATH_PART for part in re.split(r"[/\\]", value)):
        yield (
            f"{path}={value[:LONGEST_NAME]}...: a part of a path is at most {LONGEST_PATH_PART} printable characters. "
            "Choose a shorter one."
        )
    elif _size(value) > LONGEST_PATH:
        yield f"{path}={value[:LONGEST_NAME]}...: a path is at most {LONGEST_PATH} bytes long. Choose a shorter one."


def sha256(path: str, value: str | None) -> Iterator[str]:
    """Yield a message unless the value is a SHA-256; `None` is not checked."""
    if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        yield f"{path}={value}: expected the 64 hexadecimal digits of a SHA-256. Leave it out for the default."


def _size(text: str) -> int:
    return len(os.fsencode(text)) if text.isprintable() else len(text)
