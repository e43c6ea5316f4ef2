"""Liger's Triton kernels for the layers of a model (arXiv 2410.10989)."""

import importlib.util
from typing import TYPE_CHECKING

from gcsl_cli.errors import ConfigError, DependencyError, listed

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def check_liger(config: "PreTrainedConfig", *, device: str) -> None:
    """Reject a model or a machine for which Liger has no kernels; transformers would train on without them.

    Args:
        config: of the model.
        device: `cuda`, `mps` or `cpu`.

    Raises:
        DependencyError: liger-kernel is not installed.
        ConfigError: the device is no CUDA GPU, or Liger does not know the architecture.
    """
    if importlib.util.find_spec("liger_kernel") is None:
        raise DependencyError('train.liger=true needs Liger: pip install "gcsl-cli[liger]".')
    if device != "cuda":
        raise ConfigError(f"train.liger=true needs a CUDA GPU; this machine's device is {device}. Leave it out.")
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    if config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise ConfigError(
            f"train.liger=true: Liger has no kernels for models of type {config.model_type}; it has them for "
            f"{listed(sorted(MODEL_TYPE_TO_APPLY_LIGER_FN))}. Leave it out."
        )
