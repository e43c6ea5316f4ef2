"""Formatting of estimates and verdicts on differences."""

import pytest

from gcsl_cli.reports.estimates import number, verdict, with_half_width, with_interval


@pytest.mark.parametrize(
    ("value", "digits", "sign", "expected"),
    [
        (0.12345, 3, False, "0.123"),
        (-0.0001, 3, False, "0.000"),
        (2.0, 1, True, "+2.0"),
        (-2.0, 1, True, "-2.0"),
        (None, 3, False, "n/a"),
        (float("nan"), 3, False, "n/a"),
        (float("inf"), 3, False, "n/a"),
    ],
)
def test_numbers(value: float | None, digits: int, sign: bool, expected: str) -> None:
    assert number(value, digits, sign=sign) == expected


def test_intervals() -> None:
    """Half the width of [0.2, 0.5] is 0.15."""
    estimate = {"value": 0.3, "low": 0.2, "high": 0.5}

    assert with_interval(estimate, 2) == "0.30 [0.20, 0.50]"
    assert with_half_width(estimate, 2) == "0.30 ±0.15"


@pytest.mark.parametrize("write", [with_interval, with_half_width])
def test_without_an_interval_the_value_stands_alone(write: object) -> None:
    assert callable(write)
    assert write({"value": 0.3, "low": None, "high": None}) == "0.300"
    assert write(None) == "n/a"


@pytest.mark.parametrize(
    ("low", "high", "better", "expected"),
    [
        (-0.2, -0.1, "lower", "better"),
        (-0.2, -0.1, "higher", "worse"),
        (0.1, 0.2, "lower", "worse"),
        (0.1, 0.2, "higher", "better"),
        (0.1, 0.2, None, "differs"),
        (-0.1, 0.1, "lower", ""),
        (0.0, 0.1, "lower", ""),
        (None, None, "lower", ""),
    ],
)
def test_a_verdict_only_if_the_interval_excludes_zero(
    low: float | None, high: float | None, better: str | None, expected: str
) -> None:
    assert verdict({"value": 0.0, "low": low, "high": high}, better) == expected


def test_no_difference_has_no_verdict() -> None:
    assert verdict(None, "lower") == ""
