"""The goal-conditioned method: its name in tables, and goals that it cannot train without."""

import pytest

from gcsl_cli.configs import load
from gcsl_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("lines", "label"), [([], "threshold-language"), (["goal=exact", "goal.wording=token"], "exact-token")]
)
def test_runs_are_named_by_their_goals(lines: list[str], label: str) -> None:
    config = load(lines)

    assert config.method.label(config.goal.formulation, config.goal.wording) == label
    assert config.method.keys() == {"name": "gcsl"}


def test_it_needs_a_goal() -> None:
    with pytest.raises(ConfigError, match=r"goal\.formulation=none with method=gcsl"):
        load(["method=gcsl", "goal=none"])
