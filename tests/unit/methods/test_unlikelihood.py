"""Unlikelihood training: which settings name a run, and which it refuses. Its loss is in training/test_negatives.py."""

from typing import Any

import pytest

from gcsl_cli.methods.unlikelihood import Unlikelihood


def test_settings_name_a_run() -> None:
    assert Unlikelihood(weight=0.5).keys() == {"name": "unlikelihood", "threshold": None, "weight": 0.5}


@pytest.mark.parametrize("setting", [{"weight": 0.0}, {"threshold": float("inf")}])
def test_settings_out_of_range_are_named(setting: dict[str, Any]) -> None:
    (problem,) = Unlikelihood(**setting).problems(rows_per_pass=16)

    assert problem.startswith(f"method.{next(iter(setting))}=")
