"""Targets of single parts on the command line."""

import pytest

from gcsl_cli.configs.part_overrides import gathered


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["seed=1"], ["seed=1"]),
        (
            ["generation.target.helpfulness=best", "seed=1", "generation.target.verbosity=1"],
            ["generation.target={helpfulness:best,verbosity:1}", "seed=1"],
        ),
        (["goal.target.a=1", "goal.target.a=2"], ["goal.target={a:2}"]),
        (["+generation.against.verbosity=4"], ["generation.against={verbosity:4}"]),
        (["generation.target.a=1,2", "generation.target.b=3"], ["generation.target={a:1,b:3},{a:2,b:3}"]),
        (
            ["generation.target={a: 1}", "generation.targets.a=1"],
            ["generation.target={a: 1}", "generation.targets.a=1"],
        ),
        (["generation.target.a="], ["generation.target.a="]),
        (["generation.guidance.a=2", "generation.guidance.b=1"], ["generation.guidance={a:2,b:1}"]),
        (["goal.parts.levels.a=[6,12]"], ["goal.parts.levels={a:[6,12]}"]),
        (["goal.parts.templates.a='at most, {level}'"], ["goal.parts.templates={a:'at most, {level}'}"]),
    ],
)
def test_lines_of_one_target_are_gathered(lines: list[str], expected: list[str]) -> None:
    assert gathered(lines) == expected
