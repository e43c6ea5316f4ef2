"""Suggestions for mistyped names."""

import pytest

from gcsl_cli.errors import nearest


@pytest.mark.parametrize(
    ("typed", "names", "expected"),
    [
        ("sed", ["seed", "force"], ["seed"]),
        ("trian.epochs", ["train.budget.epochs", "goal.levels"], ["train.budget.epochs"]),
        ("b.samples", ["a.samples", "b.c.samples"], ["a.samples", "b.c.samples"]),
        ("zzz", ["seed"], []),
    ],
)
def test_nearest(typed: str, names: list[str], expected: list[str]) -> None:
    assert sorted(nearest(typed, names)) == expected
