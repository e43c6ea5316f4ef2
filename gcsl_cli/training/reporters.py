"""Check the trainer's reporting integrations (Weights & Biases, TensorBoard, ...) before any work starts."""

from collections.abc import Sequence

from gcsl_cli.errors import ConfigError, DependencyError


def check_reporters(names: Sequence[str]) -> None:
    """Reject integrations that the trainer would reject only when training starts.

    Raises:
        ConfigError: a name is unknown.
        DependencyError: an integration needs a package that is not installed.
    """
    if not names:
        return
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    available = get_available_reporting_integrations()
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise ConfigError(
                f"train.report_to=[{name}]: unknown; one of {', '.join(sorted(INTEGRATION_TO_CALLBACK))}."
            )
        if name not in available:
            raise DependencyError(f"train.report_to=[{name}] needs a package that is not installed: pip install {name}")
