"""Exact attention over sequences that branch, and the check that a model computes them as it computes rows one by one.

A mask in four dimensions goes to the model unchanged (transformers). Where layers have a sliding window, each kind of
layer gets a mask of its own, by the names of the model's `layer_types`; windows are measured in positions, since a
branch may stand far behind the shared tokens that it continues.
"""

from typing import TYPE_CHECKING, Any

from gcsl_cli.training.rows import IGNORED, PlanCollator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


FULL, SLIDING = "full_attention", "sliding_attention"
SAME = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.02}
"""Relative difference of hidden states, root mean square over supervised positions, up to which they are the same."""


def branch_masks(
    config: "PreTrainedConfig",
    branches: "torch.Tensor",
    positions: "torch.Tensor",
    segments: "torch.Tensor | None" = None,
) -> Any:
    """What the model takes as `attention_mask`, by kind of layer if it has two.

    A token sees earlier tokens of its own branch and the shared ones. The masks are `(sequences, 1, tokens, tokens)`;
    under FlexAttention they are block masks, which skip what no token of a block sees.

    Args:
        config: of the model.
        branches: of each token, `(sequences, tokens)`, as `PlanCollator` gives them.
        positions: of each token in its row, `(sequences, tokens)`.
        segments: which of several packed sequences each token is of, `(1, tokens)`.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)

    def mask(window: int | None) -> Any:
        def visible(batch: Any, head: Any, query: Any, key: Any) -> Any:  # noqa: ARG001  # as FlexAttention calls it
            seen = (query >= key) & ((branches[batch, key] == 0) | (branches[batch, key] == branches[batch, query]))
            if segments is not None:
                seen = seen & (segments[batch, query] == segments[batch, key])
            if window is not None:
                seen = seen & (positions[batch, query] - positions[batch, key] < window)
            return seen

        return _block_mask(visible, branches) if block_masks(config) else _dense_mask(config, visible, branches)

    if window is None or (kinds and SLIDING not in kinds):
        return mask(None)
    return {FULL: mask(None), SLIDING: mask(window)} if kinds else mask(window)


def block_masks(config: "PreTrainedConfig") -> bool:
    """Whether the model attends by blocks, so that packing sequences costs nothing."""
    return bool(config._attn_implementation == "flex_attention")


def _block_mask(visible: "Callable[..., Any]", branches: "torch.Tensor") -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    sequences, tokens = branches.shape
    return create_block_mask(visible, sequences, None, tokens, tokens, device=branches.device)


def _dense_mask(config: "PreTrainedConfig", visible: "Callable[..., Any]", branches: "torch.Tensor") -> "torch.Tensor":
    import torch

    sequences, tokens = (torch.arange(size, device=branches.device) for size in branches.shape)
    seen: torch.Tensor = visible(sequences[:, None, None], None, tokens[None, :, None], tokens[None, None, :])[:, None]
    if config._attn_implementation != "eager":
        return seen
    # Eager attention adds the mask to its weights.
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)


def attend_by_blocks(model: "PreTrainedModel") -> None:
    """Let the model attend by FlexAttention where it can and where that is fast."""
    if model.device.type == "cuda" and getattr(model, "_supports_flex_attn", False):
        model.set_attn_implementation("flex_attention")


def why_not_shared(model: "PreTrainedModel", batches: "Iterable[dict[str, Any]]", pad_id: int) -> str | None:
    """Why rows cannot share what they begin with in this model; `None` where they can, or nothing is shared.

    The first of the micro-batches (as `PlannedBatches` has them) with branches goes through the model as it is planned
    and row by row; hidden states of supervised positions have to be the same. The model is asked as it will be trained,
    with dropout.
    """
    config = model.config.get_text_config()
    if "flash" in str(config._attn_implementation):
        return f"{config._attn_implementation} takes no mask of branches"
    if getattr(config, "output_router_logits", False):
        return "its auxiliary loss counts every token once"
    if others := sorted(set(getattr(config, "layer_types", None) or ()) - {FULL, SLIDING}):
        return f"layers of type {', '.join(others)} mix neighbours"
    packed, collate = PlanCollator(pad_id, packed=block_masks(config)), PlanCollator(pad_id)
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
    except Exception as error:  # noqa: BLE001  # a foreign model may refuse such a mask in any way
        return f"it takes no mask of branches ({type(error).__name__})"
    finally:
        model.train(training)
    one, other = states
    difference = float((one - other).norm() / other.norm())
    if not difference <= SAME.get(str(model.dtype).removeprefix("torch."), 0.0):
        return f"hidden states differ by {difference:.1g} from those of the rows one by one"
    return None


def _states(model: "PreTrainedModel", batch: dict[str, Any]) -> "torch.Tensor":
    """Last hidden states that predict supervised tokens, `(supervised, width)`, in the order of the rows."""
    given: dict[str, Any] = {key: tensor.to(model.device) for key, tensor in batch.items() if key != "weights"}
    labels, branches, segments = given.pop("labels"), given.pop("branches", None), given.pop("segments", None)
    if branches is not None:
        config = model.config.get_text_config()
        given["attention_mask"] = branch_masks(config, branches, given["position_ids"], segments)
    hidden = model.base_model(**given, use_cache=False).last_hidden_state
    states: torch.Tensor = hidden[:, :-1][labels[:, 1:] != IGNORED]
    return states.double()
