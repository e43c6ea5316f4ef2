"""DeepSpeed ZeRO-3 (arXiv 1910.02054) through transformers and accelerate: each process has a part of the model."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from gcsl_cli.errors import DependencyError


def check_deepspeed() -> None:
    """Raise `DependencyError` if DeepSpeed is not installed."""
    if importlib.util.find_spec("deepspeed") is None:
        raise DependencyError(
            'distributed.strategy=zero3 needs DeepSpeed: pip install "gcsl-cli[deepspeed]". Or use distributed=fsdp2, '
            "which needs no package."
        )


def deepspeed_config(zero: Mapping[str, Any]) -> dict[str, Any]:
    """DeepSpeed's config with stage 3; transformers fills in what is `auto` from the trainer's arguments.

    `zero`: options of `zero_optimization`.
    """
    return {
        "zero_optimization": {**zero, "stage": 3, "stage3_gather_16bit_weights_on_model_save": True},
        "bf16": {"enabled": "auto"},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def gathered_state(trainer: Any) -> dict[str, Any] | None:
    """Gather the weights of a trained model on the leader's CPU, `None` elsewhere; all processes have to call this.

    Afterwards transformers loads models whole again: it would partition each that is loaded for the export.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    state: dict[str, Any] | None = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    unset_hf_deepspeed_config()
    return state or None
