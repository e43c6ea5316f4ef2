"""Negative rows: their losses, computed by hand, and that they leave the likelihood loss alone."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.models.loading import load_model
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.training import sft
from gcsl_cli.training.examples import RowExamples
from gcsl_cli.training.micro_batches import IGNORED, PlanCollator, PlannedBatches
from gcsl_cli.training.negatives import MissedGoalLoss, NegativeLoss, UnlikelihoodLoss
from gcsl_cli.training.plan import Plan
from tests.unit.goals.toy import toy_spec
from tests.unit.training.runs import FEEDBACK, GOALS, batches, trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NONE = float("nan")
MISSED = (NONE, 0.9, 0.9)
"""The best goal, which the second and the third row miss."""


def contrasted(
    tokenizer: "PreTrainedTokenizerBase",
    steps: int = 1,
    micro: int = 1,
    share: float | None = None,
    negative: Any = None,
    **spec: Any,
) -> PlannedBatches:
    """Plan the three rows in every micro-batch, two of them with a copy under the best goal, or with negative rows."""
    planned = batches(tokenizer, toy_spec(**spec), steps, micro)
    missed = np.tile(MISSED, steps * micro) if negative is None else planned.plan.missed
    return replace(
        planned,
        plan=replace(planned.plan, missed=missed),
        examples=replace(planned.examples, negative=negative),
        share=share,
    )


def completion_log_probs(model: Any, planned: PlannedBatches, row: int, goal: float) -> torch.Tensor:
    """Log-probability of each completion token of a row under a goal, from a forward pass of its own."""
    encoded = planned.examples.prompter.rows([FEEDBACK[row]], [goal], None)[0]
    ids = torch.tensor([encoded.input_ids])
    logits = model(ids).logits[0, encoded.prompt_tokens - 1 : -1]
    return logits.log_softmax(-1).gather(1, ids[0, encoded.prompt_tokens :, None])[:, 0]


def gradient_norm(loss: torch.Tensor, model: Any) -> float:
    torch.autograd.backward(loss)
    return float(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm())


def check_first_step(history: list[dict[str, float]], loss: torch.Tensor, model: Any) -> None:
    assert history[0]["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    assert history[0]["grad_norm"] == pytest.approx(gradient_norm(loss, model), rel=1e-4)


@pytest.mark.parametrize("weights", [(), (0.1, 0.5, 2.0)])
@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("margin", [0.4, 3.0])
def test_missed_goal_loss_matches_the_formula(
    tiny_model: Path,
    tokenizer: "PreTrainedTokenizerBase",
    tmp_path: Path,
    weights: tuple[float, ...],
    micro: int,
    margin: float,
) -> None:
    """Copies count neither in the likelihood nor in its number of tokens, also across accumulated micro-batches.

    A copy has the level weight of the goal that it misses, not of its row's own goal.
    """
    planned = contrasted(tokenizer, micro=micro, weights=weights)
    model = load_model(tiny_model).to("cpu").train()
    of_goal = dict(zip((0.0, 0.5, 0.9), weights or (1.0, 1.0, 1.0), strict=True))
    total, tokens = torch.zeros(()), 0
    for row, goal in enumerate(GOALS):
        own = completion_log_probs(model, planned, row, goal)
        term, tokens = -of_goal[goal] * own.sum(), tokens + len(own)
        if goal < 0.9:
            missed = completion_log_probs(model, planned, row, 0.9)
            difference = own.detach().mean() - missed.mean()
            # Two copies weigh together as much as the one row that is trained under their goal.
            term = term + of_goal[0.9] * 1.5 * 0.5 * len(missed) * (margin - difference).clamp(min=0)
        total = total + term
    loss = total / tokens

    result = trained(
        load_model(tiny_model).to("cpu"),
        tokenizer,
        planned,
        tmp_path,
        accumulation=micro,
        negative_loss=MissedGoalLoss(1.5, margin),
    )

    check_first_step(result.history, loss, model)


def test_unlikelihood_loss_matches_the_formula(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    """-log(1 - p) for every token of the second row, over the supervised tokens of the two others."""
    planned = contrasted(tokenizer, negative=np.array([False, True, False]))
    model = load_model(tiny_model).to("cpu").train()
    first, poor, third = (completion_log_probs(model, planned, row, goal) for row, goal in enumerate(GOALS))
    loss = (-first.sum() - third.sum() - 0.7 * torch.log(1 - poor.exp()).sum()) / (len(first) + len(third))

    result = trained(
        load_model(tiny_model).to("cpu"), tokenizer, planned, tmp_path, negative_loss=UnlikelihoodLoss(0.7)
    )

    check_first_step(result.history, loss, model)


def test_unlikelihood_of_a_certain_token_is_finite() -> None:
    log_probs = torch.zeros(1, 2, dtype=torch.bfloat16)

    assert torch.isfinite(UnlikelihoodLoss(1.0)(log_probs, torch.tensor([[-1, 0]]), None))


@pytest.mark.parametrize("loss", [MissedGoalLoss(1.0, 2.0), UnlikelihoodLoss(1.0)])
def test_loss_depends_only_on_the_tokens_of_pairs(loss: NegativeLoss) -> None:
    log_probs = -torch.rand(3, 5)
    pairs = torch.tensor([[0, 1, 1, 0, 0], [0, 0, -1, -1, 0], [0, 0, 0, 0, 0]])
    changed = torch.where(pairs == 0, log_probs - 1, log_probs)

    assert loss(log_probs, pairs, None) == loss(changed, pairs, None)
    assert loss(log_probs, pairs, torch.full((3, 5), 0.5)) == pytest.approx(float(loss(log_probs, pairs, None)) / 2)


def test_missed_goal_loss_has_no_gradient_into_the_own_goal_and_none_beyond_the_margin() -> None:
    """Of two pairs of two tokens, the differences are 1 and 3 nats per token."""
    log_probs = torch.tensor([[-1.0, -1.0], [-2.0, -2.0], [-1.0, -1.0], [-4.0, -4.0]], requires_grad=True)
    pairs = torch.tensor([[1, 1], [-1, -1], [2, 2], [-2, -2]])
    loss = MissedGoalLoss(weight=2.0, margin=1.5)(log_probs, pairs, None)
    torch.autograd.backward(loss)

    assert float(loss.detach()) == 2.0 * 2 * 0.5
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [[0, 0], [2, 2], [0, 0], [0, 0]]


def test_plan_without_missed_goals_is_trained_to_the_same_bit(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    planned = batches(tokenizer, toy_spec(), steps=2)
    plain, unused = (
        trained(load_model(tiny_model).to("cpu"), tokenizer, planned, tmp_path / str(n), negative_loss=loss)
        for n, loss in enumerate((None, MissedGoalLoss(1.0, 1.0)))
    )

    assert [e["loss"] for e in plain.history if "loss" in e] == [e["loss"] for e in unused.history if "loss" in e]
    for one, other in zip(plain.model.parameters(), unused.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("placement", ["after_prompt", "before_prompt"])
def test_copies_that_share_their_prompt_are_trained_alike(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path, placement: str
) -> None:
    """A goal after the prompt lets a copy share the sequence of its row; one before the prompt doesn't."""
    alone, together = (contrasted(tokenizer, share=share, placement=placement) for share in (None, 1000.0))
    sequences = [len(planned[0]["sequences"]) for planned in (alone, together)]
    assert sequences == [5, 3 if placement == "after_prompt" else 5]

    losses = [
        trained(
            load_model(tiny_model).to("cpu"), tokenizer, planned, tmp_path / str(n), negative_loss=MissedGoalLoss(2, 3)
        ).history[0]
        for n, planned in enumerate((alone, together))
    ]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-4)
    assert losses[0]["grad_norm"] == pytest.approx(losses[1]["grad_norm"], rel=1e-3)


def test_padding_free_batches_are_trained_alike(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row weights, copies and their pairs find their tokens in the long sequence that FlashAttention gets."""
    planned = contrasted(tokenizer, steps=2, weights=(0.1, 0.5, 2.0))
    losses = []
    for attention in ("sdpa", "flash_attention_2"):
        wanted = sft.collator(SimpleNamespace(_attn_implementation=attention), tokenizer.pad_token_id)
        monkeypatch.setattr(sft, "collator", lambda *_, wanted=wanted: wanted)
        model = load_model(tiny_model).to("cpu")
        losses.append(
            trained(model, tokenizer, planned, tmp_path / attention, negative_loss=MissedGoalLoss(2, 3)).history[:2]
        )
        monkeypatch.undo()
        assert wanted.padding_free is (attention == "flash_attention_2")
    for padded, free in zip(*losses, strict=True):
        assert free["loss"] == pytest.approx(padded["loss"], rel=1e-5)
        assert free["grad_norm"] == pytest.approx(padded["grad_norm"], rel=1e-4)
        assert free["num_tokens"] == padded["num_tokens"]


def test_batch_with_copies(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Rows come first, then copies; only rows have labels, and pairs mark the tokens of completions."""
    item = contrasted(tokenizer)[0]
    assert item["pairs"] == [0, 1, 2, -1, -2]
    assert [sequence.rows[0].negative for sequence in item["sequences"]] == [False] * 3 + [True] * 2

    batch = PlanCollator(0)([item])
    labelled = (batch["labels"] != IGNORED).sum(dim=1).tolist()
    assert labelled[3:] == [0, 0]
    assert (batch["pairs"] == 1).sum() == labelled[1] == (batch["pairs"] == -1).sum()
    assert (batch["pairs"][2][batch["labels"][2] != IGNORED] == 2).all()
    assert (batch["pairs"][0] == 0).all()

    both = PlanCollator(0)([item, item])["pairs"]
    assert set(both.flatten().tolist()) == {-4, -3, -2, -1, 0, 1, 2, 3, 4}


def test_rows_without_a_goal_have_no_copy_and_weights_follow_their_rows(tokenizer: "PreTrainedTokenizerBase") -> None:
    plan = Plan.of(*(np.array(values) for values in ([0, 0, 1], [0, 0, 1], [0, 1, 0], [NONE, 0.0, 0.9], [1, 1, 1])))
    examples = RowExamples(FeedbackRows.of(FEEDBACK), Prompter(tokenizer, toy_spec()), None, np.array([3.0, 0.5, 1.0]))
    planned = PlannedBatches(replace(plan, missed=np.array([NONE, 0.9, NONE])), examples)

    assert planned[0]["pairs"] == [0, 1, -1]
    assert planned[0]["weights"] == [3.0, 0.5, 0.5]
