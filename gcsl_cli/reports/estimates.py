"""How one estimate is written, and what may be said about a difference.

An estimate is {"value": 0.31, "low": 0.27, "high": 0.35, "n": 64, "left_out": 0}; None stands for undefined.
"""

import math
from collections.abc import Mapping
from typing import Any

UNDEFINED = "n/a"


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with fixed digits, "n/a" where it is undefined."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    rounded = round(value, digits) + 0.0  # -0.0 + 0.0 is 0.0: no "-0.000"
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def with_interval(estimate: Mapping[str, Any] | None, digits: int = 3, *, sign: bool = False) -> str:
    """Such as "0.310 [0.270, 0.350]"; without the brackets where there is no interval."""
    if estimate is None:
        return UNDEFINED
    value = number(estimate["value"], digits, sign=sign)
    if estimate["low"] is None or estimate["high"] is None:
        return value
    low, high = (number(estimate[end], digits, sign=sign) for end in ("low", "high"))
    return f"{value} [{low}, {high}]"


def with_half_width(estimate: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Such as "0.310 ±0.040", where the second number is half the interval's width."""
    if estimate is None:
        return UNDEFINED
    value = number(estimate["value"], digits)
    if estimate["low"] is None or estimate["high"] is None:
        return value
    return f"{value} ±{number((estimate['high'] - estimate['low']) / 2, digits)}"


def verdict(difference: Mapping[str, Any] | None, better: str | None) -> str:
    """What the interval of a difference says: "better", "worse", or "" where it holds 0.

    Where no direction is good ("lower" and "higher" are), it is "differs".
    """
    if difference is None or difference["low"] is None or difference["high"] is None:
        return ""
    if difference["low"] <= 0 <= difference["high"]:
        return ""
    if better not in ("lower", "higher"):
        return "differs"
    return "better" if (difference["high"] < 0) == (better == "lower") else "worse"
