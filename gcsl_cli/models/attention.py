"""The attention implementation of a model; the only use of these private attributes of `transformers`."""

from typing import TYPE_CHECKING, Any

from gcsl_cli.errors import ConfigError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def attention_of(config: "PreTrainedConfig") -> str:
    """Return the attention implementation: `sdpa`, `eager`, `flex_attention`, `flash_attention_2`, ..."""
    return str(config._attn_implementation)


def uses_flash_attention(config: "PreTrainedConfig") -> bool:
    """Return True if the model uses FlashAttention."""
    return "flash" in attention_of(config)


def supports_flex_attention(model: "PreTrainedModel") -> bool:
    """Return True if the model class supports FlexAttention."""
    return bool(getattr(model, "_supports_flex_attn", False))


def check_attention(config: Any, attention: str, *, device: str, bf16: bool) -> None:
    """Reject an attention implementation with which this model cannot be trained on this machine.

    Args:
        config: of the model, which is built without weights.
        attention: the implementation.
        device: `cuda`, `mps` or `cpu`.
        bf16: training runs in bfloat16.

    Raises:
        ConfigError: the device, the precision or the model does not allow it, or its package is missing.
    """
    import torch
    from transformers import AutoModelForCausalLM

    setting = f"train.attention={attention}"
    if attention in ("flex_attention", "flash_attention_2") and device != "cuda":
        raise ConfigError(f"{setting} needs a CUDA GPU to train; this machine's device is {device}. Use auto or sdpa.")
    if attention == "flash_attention_2" and not bf16:
        raise ConfigError(f"{setting} computes in bfloat16 only. Use train.precision=bf16, or train.attention=sdpa.")
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{setting}: {first_line(error)}. Use train.attention=auto.") from error
