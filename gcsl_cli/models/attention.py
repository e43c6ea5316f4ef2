"""Read the attention implementation of a model; the only use of these private attributes of `transformers`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def attention_of(config: "PreTrainedConfig") -> str:
    """Return the attention implementation: `sdpa`, `eager`, `flex_attention`, `flash_attention_2`, ..."""
    return str(config._attn_implementation)


def supports_flex_attention(model: "PreTrainedModel") -> bool:
    """Return True if the model class supports FlexAttention."""
    return bool(getattr(model, "_supports_flex_attn", False))
