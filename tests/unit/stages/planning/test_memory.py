"""The memory lines of the dry run: what is needed, what there is, and which key to turn."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gcsl_cli import configs
from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.planning import memory as stage
from gcsl_cli.stages.planning.memory import assumed_batch, largest_batch, memory_lines
from gcsl_cli.stages.trainer import checkpointing
from gcsl_cli.training.examples import RowExamples
from gcsl_cli.training.memory import Batch
from gcsl_cli.training.plan import Plan
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

pytestmark = pytest.mark.usefixtures("remembered_composition")
BATCH = Batch(16, 200, 800)


def experiment(model: Path, *overrides: str) -> Experiment:
    lines = ["task=toxicity", "model=local", f"model.uri={model}", "train.precision=fp32", *overrides]
    return Experiment(configs.load(lines))


def told(monkeypatch: pytest.MonkeyPatch, chosen: Experiment, mebibytes: float) -> str:
    """The lines as text, for a device with so much free memory."""
    monkeypatch.setattr(stage, "free_memory", lambda: (mebibytes * 2**20, "a card"))
    return "; ".join(text for _, text in memory_lines(chosen, BATCH))


def test_every_part_is_told(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch, experiment(tiny_model), 1e6)

    assert all(part in text for part in ("weights", "gradients", "optimizer", "activations", "logits"))
    assert "forward passes of up to 16 x 200 tokens" in text
    assert text.endswith("a card has 976.6 GiB free: enough")


@pytest.mark.parametrize(
    ("overrides", "mebibytes", "advice"),
    [
        ([], 20, "too little; try train.micro_batch_size=8"),
        ([], 4, "too little; try train.micro_batch_size=2"),
        ([], 1.6, "too little; try train.gradient_checkpointing=true train.micro_batch_size=1"),
        (["train.tokens_per_batch=4096"], 20, "try train.tokens_per_batch=2048 train.batches_per_step=2"),
        (["adapter=none"], 0.65, "no setting makes it fit; use a smaller model or a larger device"),
    ],
)
def test_the_cheapest_setting_that_fits_is_advised(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], mebibytes: float, advice: str
) -> None:
    assert told(monkeypatch, experiment(tiny_model, *overrides), mebibytes).endswith(advice)


def test_an_adapter_is_advised_where_all_weights_are_trained(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the memory of weights, gradients and moments is left by an adapter of rank 1."""
    chosen = experiment(tiny_model, "adapter=none", "train.batch_size=1", "adapter.r=1")
    monkeypatch.setattr(stage, "free_memory", lambda: (0.35 * 2**20, "a card"))
    lines = memory_lines(chosen, Batch(1, 4, 2))

    assert "too little; try adapter=lora" in lines[1][1]


def test_an_unknown_architecture_has_a_lower_bound(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "sizes_of", lambda _: None)

    assert memory_lines(experiment(tiny_model), BATCH)[0][1].endswith("activations of llama are not estimated")


def test_the_largest_pass_is_found(tokenizer: "PreTrainedTokenizerBase") -> None:
    """One token per byte: the second pass has rows of 17 and 25 tokens, in the first both have 17."""
    rows = [
        FeedbackRow("p", text, 0.9, str(n), "train", False) for n, text in enumerate([" yes", " yes", " much longer"])
    ]
    spec = toy_spec()
    examples = RowExamples(FeedbackRows.of(rows), Prompter(tokenizer, spec), None)
    place = np.array([0, 0, 1, 1])
    row = np.array([0, 1, 0, 2])
    encoded = examples.encode(row, np.full(4, 0.9), np.full(4, np.nan))
    tokens = np.array([len(unit[0].input_ids) for unit in encoded])
    plan = Plan.of(step=place, micro=place, row=row, goal=np.full(4, 0.9), tokens=tokens)

    assert largest_batch(examples, plan, None) == Batch(2, int(tokens.max()), len(" yes" + " much longer"))


@pytest.mark.parametrize(
    ("overrides", "batch"),
    [
        (["train.batch_size=8", "train.micro_batch_size=4"], Batch(4, 512, 2048)),
        (["train.max_length=100"], Batch(16, 100, 1600)),
        (["train.max_length=null", "train.tokens_per_batch=2048"], Batch(4, 512, 2048)),
    ],
)
def test_rows_that_do_not_exist_yet_are_taken_to_be_long(tiny_model: Path, overrides: list[str], batch: Batch) -> None:
    assert assumed_batch(experiment(tiny_model, *overrides)) == batch


@pytest.mark.parametrize(
    ("asked", "parameters", "on"),
    [("auto", 999_999_999, False), ("auto", 10**9, True), (True, 1, True), (False, 10**10, False)],
)
def test_checkpointing_is_on_from_a_billion_parameters(asked: Any, parameters: int, *, on: bool) -> None:
    train = SimpleNamespace(gradient_checkpointing=asked)
    chosen: Any = SimpleNamespace(config=SimpleNamespace(train=train), parameters=parameters)

    assert checkpointing(chosen) is on
