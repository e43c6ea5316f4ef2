"""A few steps of the real SmolLM2-135M on the real prompts, both from their wheels."""

import json
from pathlib import Path

import pytest

from tests import outputs
from tests.commands import gcsl

pytestmark = pytest.mark.real_model


def test_the_default_experiment_with_a_few_steps(tmp_path: Path) -> None:
    """Its losses are those of a language model; random weights would have a loss of 10.8."""
    runs = tmp_path / "runs"
    little = ["task.feedback.prompts=20", "generation.prompts=4", "evaluation.discrimination_rows=8"]
    ended = gcsl("evaluate", "debug=tiny", "generation.guidance=2", *little, f"runs_dir={runs}", "--json")
    assert ended.code == 0, ended.err
    losses = outputs.losses(outputs.training(runs))
    assert len(losses) == 4 + 1
    assert all(0 < entry[1] < 8 for entry in losses)
    result = json.loads(ended.out)["result"]
    assert len(result["arms"]) == 6
    assert all(1 < arm["metrics"]["perplexity"]["value"] < 500 for arm in result["arms"])
    assert 0 <= result["discrimination"]["trained"]["pooled"]["value"] <= 1
