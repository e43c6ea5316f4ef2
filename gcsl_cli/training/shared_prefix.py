"""Exact attention over sequences that branch, and the check that a model computes them as it computes rows one by one.

A mask in four dimensions goes to the model unchanged (transformers). Where layers have a sliding window, each kind of
layer gets a mask of its own, by the names of the model's `layer_types`; windows are measured in positions, since a
branch may stand far behind the shared tokens that it continues.
"""

from typing import TYPE_CHECKING, Any

from gcsl_cli.training.rows import IGNORED, PlanCollator

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


FULL, SLIDING = "full_attention", "sliding_attention"
SAME = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.02}
"""Relative difference of hidden states, root mean square over supervised positions, up to which they are the same."""


def branch_masks(
    config: "PreTrainedConfig", branches: "torch.Tensor", positions: "torch.Tensor"
) -> "torch.Tensor | dict[str, torch.Tensor]":
    """What the model takes as `attention_mask`: masks `(sequences, 1, tokens, tokens)`, by kind of layer if it has two.

    A token sees earlier tokens of its own branch and the shared ones.

    Args:
        config: of the model.
        branches: of each token, `(sequences, tokens)`, as `PlanCollator` gives them.
        positions: of each token in its row, `(sequences, tokens)`.
    """
    import torch

    place = torch.arange(branches.shape[1], device=branches.device)
    before = place[None, :, None] >= place[None, None, :]
    seen = before & ((branches[:, None, :] == 0) | (branches[:, None, :] == branches[:, :, None]))
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if window is None or (kinds and SLIDING not in kinds):
        return _as_taken(config, seen)
    near = seen & (positions[:, :, None] - positions[:, None, :] < window)
    if not kinds:
        return _as_taken(config, near)
    return {FULL: _as_taken(config, seen), SLIDING: _as_taken(config, near)}


def _as_taken(config: "PreTrainedConfig", seen: "torch.Tensor") -> "torch.Tensor":
    import torch

    seen = seen[:, None]
    if config._attn_implementation != "eager":
        return seen
    # Eager attention adds the mask to its weights.
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)


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
    collate = PlanCollator(pad_id)
    for item in batches:
        shared = collate([item])
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
    given = {key: tensor.to(model.device) for key, tensor in batch.items() if key not in ("branches", "weights")}
    labels = given.pop("labels")
    if "branches" in batch:
        masks = branch_masks(model.config.get_text_config(), batch["branches"].to(model.device), given["position_ids"])
        given["attention_mask"] = masks
    hidden = model.base_model(**given, use_cache=False).last_hidden_state
    states: torch.Tensor = hidden[:, :-1][labels[:, 1:] != IGNORED]
    return states.double()
