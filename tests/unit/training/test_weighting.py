"""Weighted rows: the loss is the weighted sum of negative log-likelihoods over the number of supervised tokens."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from gcsl_cli.models.loading import load_model
from gcsl_cli.training.micro_batches import IGNORED, PlanCollator, PlannedBatches
from tests.unit.goals.toy import toy_spec
from tests.unit.training.runs import batches, trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS = (0.1, 0.5, 2.0)


def by_hand(folder: Path, planned: PlannedBatches, weights: list[float]) -> tuple[float, float]:
    """Compute loss and gradient norm of a one-step plan with torch's cross entropy."""
    model = load_model(folder).to("cpu").train()
    total, tokens = torch.zeros(()), 0
    for item in planned:
        batch = PlanCollator(0)([item])
        labels = batch["labels"][:, 1:]
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        total = total + (torch.tensor(weights)[:, None] * nll).sum()
        tokens += int((labels != IGNORED).sum())
    loss = total / tokens
    torch.autograd.backward(loss)
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    return float(loss.detach()), float(norm)


@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("weights", [WEIGHTS, (1.0, 1.0, 1.0)])
def test_loss_and_gradient_match_the_formula(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path, weights: tuple[float, ...], micro: int
) -> None:
    """The goals of the rows are 0.9, 0 and 0.5, so they have the weights of the third, first and second level."""
    planned = batches(tokenizer, toy_spec(weights=weights), steps=1, micro=micro)
    loss, norm = by_hand(tiny_model, planned, [weights[2], weights[0], weights[1]])

    result = trained(load_model(tiny_model).to("cpu"), tokenizer, planned, tmp_path, accumulation=micro)

    assert result.history[0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert result.history[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_weights_of_one_give_the_plain_loss(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    losses = []
    for weights in ((), (1.0, 1.0, 1.0)):
        planned = batches(tokenizer, toy_spec(weights=weights), steps=3)
        result = trained(load_model(tiny_model).to("cpu"), tokenizer, planned, tmp_path / str(len(weights)))
        losses.append([entry["loss"] for entry in result.history if "loss" in entry])

    assert len(losses[0]) == 3
    assert losses[0] == losses[1]


def test_batch_without_weights(tokenizer: "PreTrainedTokenizerBase") -> None:
    plain, weighted = (batches(tokenizer, toy_spec(weights=weights), steps=1) for weights in ((), WEIGHTS))

    assert "weights" not in PlanCollator(0)([plain[0]])
    batch = PlanCollator(0)([weighted[0]])
    assert batch["weights"][:, 0].tolist() == pytest.approx([2.0, 0.1, 0.5])
    assert (batch["weights"] == batch["weights"][:, :1])[batch["attention_mask"].bool()].all()
