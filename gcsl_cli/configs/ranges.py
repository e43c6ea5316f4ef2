"""Allowed ranges of numbers in a config, each with the message for a value outside it."""

import math
from collections.abc import Iterator
from enum import StrEnum


def count(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is at least 1; `None` is not checked."""
    if value is not None and not value >= 1:
        yield f"{path}={value}: must be a whole number of at least 1. Try {path}=1 or leave it out."


def not_negative(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is finite and at least 0; `None` is not checked."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        yield f"{path}={value}: must be a finite number of at least 0. Try {path}=0 or leave it out."


def positive(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is finite and above 0; `None` is not checked."""
    if value is not None and not (math.isfinite(value) and value > 0):
        yield f"{path}={value}: must be a finite number above 0. Leave it out for the default."


def finite(path: str, value: float | None) -> Iterator[str]:
    """Yield a message unless the value is finite; `None` is not checked."""
    if value is not None and not math.isfinite(value):
        yield f"{path}={value}: must be a finite number. Leave it out for the default."


def choice(path: str, value: str, allowed: type[StrEnum]) -> Iterator[str]:
    """Yield a message unless the value is a member of the enum; needed where a config is changed from Python."""
    if value not in list(allowed):
        yield f"{path}={value}: expected one of: {', '.join(allowed)}."
