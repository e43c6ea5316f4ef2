"""Run identities: settings of what is trained are part of them, settings of how are not."""

from pathlib import Path

import pytest

from gcsl_cli import configs
from gcsl_cli.stages.experiment import Experiment

pytestmark = pytest.mark.usefixtures("remembered_composition")


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("train.gradient_checkpointing=true", True),
        ("train.attention=eager", True),
        ("export.merged=false", False),
        ("adapter.use_dora=true", False),
        ("adapter.init=pissa", False),
        ("adapter=qlora", False),
    ],
)
def test_a_run_that_computes_otherwise_is_the_same_run(tiny_model: Path, override: str, *, same: bool) -> None:
    lines = ["task=toxicity", "model=local", f"model.uri={tiny_model}"]
    before, after = (Experiment(configs.load(given)).training for given in (lines, [*lines, override]))

    assert (before.identity == after.identity) is same
