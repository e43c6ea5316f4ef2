"""Branched sequences give the same losses, gradients, hidden states and counts as separate rows."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from gcsl_cli.data.records import FeedbackRows
from gcsl_cli.models.loading import load_model
from gcsl_cli.models.prompting import EncodedRow, Prompter
from gcsl_cli.training.branches import branched
from gcsl_cli.training.examples import RowExamples
from gcsl_cli.training.micro_batches import IGNORED, PlanCollator, PlannedBatches
from gcsl_cli.training.plan import Plan
from gcsl_cli.training.shared_prefix import branch_masks, enable_flex_attention, uses_flex_attention, why_not_shared
from tests.architectures import MODELS, SIZES, model
from tests.unit.goals.toy import toy_spec
from tests.unit.training.runs import FEEDBACK, trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def rows(count: int = 4, seed: int = 0) -> tuple[list[EncodedRow], Any]:
    """Make three examples with up to `count` goals; goals and prompts differ in length."""
    generator = np.random.default_rng(seed)
    encoded, index = [], []
    for example, goals in enumerate((count, 1, 2)):
        prompt = generator.integers(3, 97, 9 + 4 * example).tolist()
        completion = generator.integers(3, 97, 5 + example).tolist()
        for number in range(goals):
            goal = [*generator.integers(3, 97, 2 + number).tolist(), 3 + number]
            encoded.append(
                EncodedRow([*prompt, *goal, *completion], len(prompt) + len(goal), truncated=False, retokenized=False)
            )
            index.append(example)
    return encoded, np.array(index)


def loss_of(network: "PreTrainedModel", batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean negative log-likelihood per supervised token, computed with torch."""
    mask: Any = batch.get("attention_mask")
    if "branches" in batch:
        mask = branch_masks(network.config, batch["branches"], batch["position_ids"], batch.get("segments"))
    logits = network(
        input_ids=batch["input_ids"], attention_mask=mask, position_ids=batch.get("position_ids"), use_cache=False
    ).logits
    labels = batch["labels"][:, 1:]
    return torch.nn.functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), labels, ignore_index=IGNORED)


def gradients(network: "PreTrainedModel", batch: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
    network.zero_grad()
    loss = loss_of(network, batch)
    torch.autograd.backward(loss)
    parts = [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
    return float(loss.detach()), torch.cat(parts)


def both(limit: float = float("inf")) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    encoded, index = rows()
    collate = PlanCollator(0)
    alone = branched(encoded, np.arange(len(encoded)), limit)
    return collate([{"sequences": branched(encoded, index, limit)}]), collate([{"sequences": alone}])


def adapted(network: "PreTrainedModel") -> Any:
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        wrapped = get_peft_model(network, config)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data *= 0.1  # as large as training makes them
        return wrapped


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_match_separate_rows(name: str, attention: str, lora: bool, checkpointing: bool) -> None:
    network = model(name, attention)
    if checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trained_network = adapted(network) if lora else network
    shared, alone = both()
    assert shared["input_ids"].numel() < alone["input_ids"].numel()

    (loss, gradient), (loss_alone, gradient_alone) = (gradients(trained_network, batch) for batch in (shared, alone))

    assert loss == pytest.approx(loss_alone, rel=1e-6)
    assert float((gradient - gradient_alone).norm()) <= 1e-5 * float(gradient_alone.norm())


@pytest.mark.parametrize("name", MODELS)
def test_bf16_error_matches_that_of_separate_rows(name: str) -> None:
    """The error against fp32 is at most one and a half times as large."""
    shared, alone = both()
    exact_loss, exact = gradients(model(name), alone)
    errors, losses = [], []
    for batch in (shared, alone):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, gradient = gradients(model(name), batch)
        errors.append(float((gradient - exact).norm() / exact.norm()))
        losses.append(abs(loss - exact_loss))

    assert errors[1] > 0
    assert errors[0] <= 1.5 * errors[1]
    assert losses[0] <= max(1.5 * losses[1], 1e-3)


@pytest.mark.parametrize("name", ["gemma3", "mistral", "qwen3-sliding"])
def test_ignoring_the_window_would_be_detected(name: str) -> None:
    """A mask without windows gives different results, so the comparison above can fail."""
    shared, alone = both()
    network = model(name)
    window, network.config.sliding_window = network.config.sliding_window, 10_000
    wide = branch_masks(network.config, shared["branches"], shared["position_ids"])
    network.config.sliding_window = window
    narrow = branch_masks(network.config, shared["branches"], shared["position_ids"])
    ids, positions = shared["input_ids"], shared["position_ids"]
    wide_logits, narrow_logits = (
        network(input_ids=ids, position_ids=positions, attention_mask=mask).logits for mask in (wide, narrow)
    )

    assert not torch.allclose(wide_logits, narrow_logits, atol=1e-3)
    assert loss_of(network, shared).item() == pytest.approx(loss_of(network, alone).item(), rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_padding_free_batches_match_padded_ones(name: str) -> None:
    """Positions alone say where a sequence starts; the same goes for FlashAttention, which needs a GPU."""
    network = model(name)
    encoded, _ = rows()
    item = {"sequences": branched(encoded, np.arange(len(encoded)), float("inf")), "weights": [1.0, 2.0] * 3 + [3.0]}
    padded, free = PlanCollator(0)([item]), PlanCollator(0, padding_free=True)([item])

    (loss, gradient), (free_loss, free_gradient) = gradients(network, padded), gradients(network, free)

    assert sorted(free) == ["input_ids", "labels", "position_ids", "weights"]
    assert {tensor.shape for tensor in free.values()} == {(1, int(padded["attention_mask"].sum()))}
    assert torch.equal(free["weights"][0], padded["weights"][padded["attention_mask"].bool()])
    assert free_loss == pytest.approx(loss, rel=1e-6)
    assert (free_gradient - gradient).norm() <= 1e-5 * gradient.norm()


@pytest.mark.parametrize("name", MODELS)
def test_packed_sequences_match_padded_ones(name: str) -> None:
    """Packed without padding; nothing predicts the first token of a sequence."""
    encoded, index = rows()
    item = {"sequences": branched(encoded, index, float("inf"))}
    below, packed = PlanCollator(0)([item]), PlanCollator(0, packed=True)([item])
    network = model(name)
    (loss, gradient), (packed_loss, packed_gradient) = gradients(network, below), gradients(network, packed)

    assert packed["input_ids"].shape == (1, int(below["attention_mask"].sum()))
    assert torch.bincount(packed["segments"][0]).tolist() == [sequence.tokens for sequence in item["sequences"]]
    assert packed_loss == pytest.approx(loss, rel=1e-6)
    assert (packed_gradient - gradient).norm() <= 1e-5 * gradient.norm()


def test_packing_leaves_batches_without_branches_alone() -> None:
    encoded, _ = rows()
    item = {"sequences": branched(encoded, np.arange(len(encoded)), float("inf"))}

    assert torch.equal(PlanCollator(0, packed=True)([item])["input_ids"], PlanCollator(0)([item])["input_ids"])


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_block_masks_match_dense_masks(name: str) -> None:
    """FlexAttention has no backward pass on CPUs, so only losses are compared."""
    encoded, index = rows()
    packed = PlanCollator(0, packed=True)([{"sequences": branched(encoded, index, float("inf"))}])
    network = model(name)
    with torch.inference_mode():
        dense = loss_of(network, packed)
        network.set_attn_implementation("flex_attention")
        with torch.compiler.set_stance("force_eager"):
            blocks = loss_of(network, packed)

    assert uses_flex_attention(network.config)
    assert blocks.item() == pytest.approx(dense.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("device", "supports", "expected"), [("cuda", True, ["flex_attention"]), ("cuda", False, []), ("cpu", True, [])]
)
def test_flex_attention_is_enabled_only_on_cuda(device: str, supports: bool, expected: list[str]) -> None:
    set_to: list[str] = []
    double: Any = SimpleNamespace(
        device=SimpleNamespace(type=device), _supports_flex_attn=supports, set_attn_implementation=set_to.append
    )
    enable_flex_attention(double)

    assert set_to == expected


def test_the_mask_of_two_branches() -> None:
    """Two shared tokens, branches of two and one tokens, one padding token."""
    branches = torch.tensor([[0, 0, 1, 1, 2, -1]])
    positions = torch.tensor([[0, 1, 2, 3, 2, 0]])
    mask = branch_masks(LlamaConfig(**SIZES, attn_implementation="sdpa"), branches, positions)

    assert isinstance(mask, torch.Tensor)
    assert mask[0, 0, :5].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
    ]
    assert mask[0, 0, 5].any()  # a row of a mask that sees nothing would be not a number


def test_batch_without_branches_is_plain() -> None:
    encoded, _ = rows()
    batch = PlanCollator(0)([{"sequences": branched(encoded, np.arange(len(encoded)), float("inf"))}])

    assert set(batch) == {"input_ids", "attention_mask", "labels"}


def planned(tokenizer: "PreTrainedTokenizerBase", share: float | None, weight: Any = None) -> PlannedBatches:
    """Plan two steps of the three rows, the first under three goals, the second under two."""
    row = np.array([0, 0, 0, 1, 1, 2] * 2)
    goal = np.array([0.9, 0.5, 0.0, 0.5, 0.0, 0.9] * 2)
    micro = np.repeat([0, 1], 6)
    weights = np.ones(12) if weight is None else np.array(weight * 2)
    plan = Plan(
        micro,
        micro,
        np.repeat([0, 1, 2, 3, 4, 5], [3, 2, 1, 3, 2, 1]),
        row,
        goal,
        np.full(12, np.nan),
        np.ones(12, int),
        weights,
    )
    prompter = Prompter(tokenizer, toy_spec(placement="after_prompt"))
    return PlannedBatches(plan, RowExamples(FeedbackRows.of(FEEDBACK), prompter, None), share)


@pytest.mark.parametrize("weight", [None, [0.5, 1.5, 1.0, 2.0, 0.25, 1.0]], ids=["", "weights"])
def test_trl_logs_the_same_metrics_with_fewer_tokens(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", tmp_path: Path, weight: list[float] | None
) -> None:
    """Loss, gradient norm, accuracy and entropy of two steps agree; token counts are those computed."""
    histories = []
    for share in (None, float("inf")):
        batches = planned(tokenizer, share, weight)
        result = trained(load_model(tiny_model).to("cpu"), tokenizer, batches, tmp_path / str(share))
        histories.append([entry for entry in result.history if "loss" in entry])
    assert [len(history) for history in histories] == [2, 2]
    for alone, shared in zip(*histories, strict=True):
        for key in ("loss", "grad_norm", "mean_token_accuracy", "entropy"):
            assert shared[key] == pytest.approx(alone[key], rel=2e-5)
    computed = sum(sequence.tokens for item in planned(tokenizer, float("inf")) for sequence in item["sequences"])
    assert histories[1][-1]["num_tokens"] == computed < histories[0][-1]["num_tokens"]


def test_exact_model_shares_prefixes(tiny_model: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    network = load_model(tiny_model).to("cpu")

    assert why_not_shared(network, planned(tokenizer, float("inf")), 0) is None
    assert why_not_shared(network.to(torch.bfloat16), planned(tokenizer, float("inf")), 0) is None


def test_model_with_flex_attention_is_checked_with_packed_sequences(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    network = load_model(tiny_model).to("cpu")
    network.set_attn_implementation("flex_attention")
    with torch.compiler.set_stance("force_eager"):
        assert why_not_shared(network, planned(tokenizer, float("inf")), 0) is None


def test_dropout_is_detected(tiny_model: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    network = load_model(tiny_model).to("cpu").eval()
    for layer in network.model.layers:
        layer.self_attn.attention_dropout = 0.3
    state = torch.get_rng_state()

    assert "hidden states differ" in str(why_not_shared(network, planned(tokenizer, float("inf")), 0))
    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training


def test_recurrent_model_is_detected(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Its state depends on all preceding tokens, including those of other branches."""
    from transformers import MambaConfig, MambaForCausalLM

    network = MambaForCausalLM(MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1))

    assert why_not_shared(network, planned(tokenizer, float("inf")), 0) is not None


def test_convolution_is_detected(tokenizer: "PreTrainedTokenizerBase") -> None:
    from transformers import Lfm2Config, Lfm2ForCausalLM

    sizes = SIZES | {"vocab_size": len(tokenizer), "num_hidden_layers": 2}
    network = Lfm2ForCausalLM(Lfm2Config(**sizes, layer_types=["conv", "full_attention"]))

    assert why_not_shared(network, planned(tokenizer, float("inf")), 0) is not None


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("_attn_implementation", "flash_attention_2", "flash_attention_2 does not support branch masks"),
        ("output_router_logits", True, "its auxiliary loss would count shared tokens only once"),
    ],
)
def test_unsupported_configs_are_known_without_comparison(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase", setting: str, value: Any, reason: str
) -> None:
    network = load_model(tiny_model)
    setattr(network.config, setting, value)

    assert why_not_shared(network, planned(tokenizer, float("inf")), 0) == reason


def test_plan_without_branches_needs_no_check(tiny_model: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    network = load_model(tiny_model)
    for layer in network.model.layers:
        layer.self_attn.attention_dropout = 0.3

    assert why_not_shared(network, planned(tokenizer, None), 0) is None


def test_the_check_gives_the_model_nothing_that_only_the_loss_needs(
    tiny_model: Path, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    network, seen = load_model(tiny_model).to("cpu"), set()
    network.base_model.register_forward_pre_hook(lambda _, __, given: seen.update(given), with_kwargs=True)
    batches = planned(tokenizer, float("inf"), weight=[1.0, 0.5, 1.0, 1.0, 1.0, 1.0])
    copied = replace(batches, plan=replace(batches.plan, missed=np.where(batches.plan.goal < 0.9, 0.9, np.nan)))

    assert why_not_shared(network, copied, 0) is None
    assert {"input_ids", "attention_mask"} <= seen
    assert seen.isdisjoint({"pairs", "weights", "labels"})
