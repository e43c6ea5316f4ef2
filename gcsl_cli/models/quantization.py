"""Base models in 4 bits during training (QLoRA, arXiv 2305.14314), by bitsandbytes."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from gcsl_cli.errors import ConfigError, DependencyError
from gcsl_cli.models.loading import device

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedConfig


def nf4(compute_dtype: "torch.dtype", *, double: bool) -> "BitsAndBytesConfig":
    """NF4 quantization of all linear layers but the output head.

    Args:
        compute_dtype: of matrix products.
        double: quantize the quantization constants too.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def check_bitsandbytes() -> None:
    """Reject 4-bit training where bitsandbytes cannot do it.

    Raises:
        DependencyError: bitsandbytes is not installed.
        ConfigError: it does not support the device.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DependencyError('adapter=qlora needs bitsandbytes: pip install "gcsl-cli[qlora]". Or use adapter=lora.')
    import bitsandbytes

    supported = sorted(getattr(bitsandbytes, "supported_torch_devices", {"cuda"}))
    if device() not in supported:
        raise ConfigError(
            f"adapter=qlora: bitsandbytes {bitsandbytes.__version__} does not support this machine's device, "
            f"{device()}; it supports {', '.join(supported)}. Use adapter=lora."
        )


def check_unquantized(config: "PreTrainedConfig", folder: Path, adapter: str) -> None:
    """Reject a base model that was saved quantized.

    Raises:
        ConfigError: its config says so.
    """
    saved = getattr(config, "quantization_config", None)
    if saved is None:
        return
    kind = saved.get("quant_method") if isinstance(saved, dict) else getattr(saved, "quant_method", None)
    why = (
        "quantized weights cannot be fine-tuned in full"
        if adapter == "none"
        else "an adapter is merged into unquantized weights at export"
    )
    raise ConfigError(
        f"adapter={adapter}: {folder} is quantized ({kind}), and {why}. Use the original model; adapter=qlora "
        "quantizes it during training."
    )
