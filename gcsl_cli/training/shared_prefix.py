"""Attention masks for branched sequences, and the check that a model computes them exactly.

transformers passes four-dimensional masks to the model unchanged. In models with sliding-window layers, each kind of
layer gets a separate mask, keyed by `layer_types`. Windows are measured in positions, because a branch may be far
behind the shared tokens that it continues.
"""

from typing import TYPE_CHECKING, Any

from gcsl_cli.models.attention import attention_of, supports_flex_attention, uses_flash_attention
from gcsl_cli.training.micro_batches import IGNORED, PlanCollator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


FULL, SLIDING = "full_attention", "sliding_attention"
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.02}
"""Largest relative difference of hidden states (norm over supervised positions) that counts as equal, by dtype."""


def branch_masks(
    config: "PreTrainedConfig",
    branches: "torch.Tensor",
    positions: "torch.Tensor",
    segments: "torch.Tensor | None" = None,
) -> Any:
    """Build the model's `attention_mask` argument, a dict by kind of layer if there are two kinds.

    A token attends to the shared tokens and to earlier tokens of its own branch. Masks are
    `(sequences, 1, tokens, tokens)`; under FlexAttention they are block masks, which skip fully masked blocks.

    Args:
        config: text config of the model.
        branches: branch of each token, `(sequences, tokens)`, as produced by `PlanCollator`.
        positions: position of each token in its row, `(sequences, tokens)`.
        segments: sequence of each token if several are packed, `(1, tokens)`.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)

    def mask_of(window: int | None) -> Any:
        def visible(batch: Any, head: Any, query: Any, key: Any) -> Any:  # noqa: ARG001  # FlexAttention's signature
            mask = (query >= key) & ((branches[batch, key] == 0) | (branches[batch, key] == branches[batch, query]))
            if segments is not None:
                mask = mask & (segments[batch, query] == segments[batch, key])
            if window is not None:
                mask = mask & (positions[batch, query] - positions[batch, key] < window)
            return mask

        return _block_mask(visible, branches) if uses_flex_attention(config) else _dense_mask(config, visible, branches)

    if window is None or (kinds and SLIDING not in kinds):
        return mask_of(None)
    return {FULL: mask_of(None), SLIDING: mask_of(window)} if kinds else mask_of(window)


def uses_flex_attention(config: "PreTrainedConfig") -> bool:
    """Return True if the model uses FlexAttention, so that packing sequences has no cost."""
    return attention_of(config) == "flex_attention"


def _block_mask(visible: "Callable[..., Any]", branches: "torch.Tensor") -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    sequences, tokens = branches.shape
    return create_block_mask(visible, sequences, None, tokens, tokens, device=branches.device)


def _dense_mask(config: "PreTrainedConfig", visible: "Callable[..., Any]", branches: "torch.Tensor") -> "torch.Tensor":
    import torch

    sequences, tokens = (torch.arange(size, device=branches.device) for size in branches.shape)
    mask: torch.Tensor = visible(sequences[:, None, None], None, tokens[None, :, None], tokens[None, None, :])[:, None]
    if attention_of(config) != "eager":
        return mask
    # Eager attention adds the mask to the attention scores.
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)


def enable_flex_attention(model: "PreTrainedModel") -> None:
    """Switch the model to FlexAttention if it supports it and the device is a CUDA GPU, where it is fast."""
    if model.device.type == "cuda" and supports_flex_attention(model):
        model.set_attn_implementation("flex_attention")


def why_not_shared(model: "PreTrainedModel", batches: "Iterable[dict[str, Any]]", pad_id: int) -> str | None:
    """Return the reason why this model cannot share prefixes exactly; `None` if it can or nothing is shared.

    Runs the first micro-batch with branches (items as in `PlannedBatches`) through the model both branched and row by
    row, and compares hidden states at supervised positions. The model is in training mode, so dropout is noticed.
    """
    config = model.config.get_text_config()
    if uses_flash_attention(config):
        return f"{attention_of(config)} does not support branch masks"
    if getattr(config, "output_router_logits", False):
        return "its auxiliary loss would count shared tokens only once"
    if others := sorted(set(getattr(config, "layer_types", None) or ()) - {FULL, SLIDING}):
        return f"layers of type {', '.join(others)} mix neighboring tokens"
    packed, collate = PlanCollator(pad_id, packed=uses_flex_attention(config)), PlanCollator(pad_id)
    for item in batches:
        shared = packed([item])
        if "branches" in shared:
            break
    else:
        return None
    import torch

    rows = [type(sequence)((row,), 0) for sequence in item["sequences"] for row in sequence.rows]
    training = model.training
    model.train()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            states = _states(model, shared), _states(model, collate([{"sequences": rows}]))
    except Exception as error:  # noqa: BLE001  # models may reject such a mask with any exception
        return f"it does not support branch masks ({type(error).__name__})"
    finally:
        model.train(training)
    branched, separate = states
    difference = float((branched - separate).norm() / separate.norm())
    if not difference <= TOLERANCE.get(str(model.dtype).removeprefix("torch."), 0.0):
        return f"hidden states differ by {difference:.1g} from those of separate rows"
    return None


def _states(model: "PreTrainedModel", batch: dict[str, Any]) -> "torch.Tensor":
    """Last hidden states that predict supervised tokens, `(supervised, width)`, in row order."""
    of_loss = ("weights", "pairs")
    inputs: dict[str, Any] = {key: tensor.to(model.device) for key, tensor in batch.items() if key not in of_loss}
    labels, branches, segments = inputs.pop("labels"), inputs.pop("branches", None), inputs.pop("segments", None)
    if branches is not None:
        config = model.config.get_text_config()
        inputs["attention_mask"] = branch_masks(config, branches, inputs["position_ids"], segments)
    hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
    states: torch.Tensor = hidden[:, :-1][labels[:, 1:] != IGNORED]
    return states.double()
