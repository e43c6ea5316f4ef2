"""Where the trainer can report to (Weights & Biases, TensorBoard, ...), checked before any work."""

from collections.abc import Sequence

from gcsl_cli.errors import ConfigError, DependencyError


def check_reporters(names: Sequence[str]) -> None:
    """Refuse what the trainer would refuse only when training begins.

    Raises:
        ConfigError: it does not know one of the names.
        DependencyError: one needs a package that is not installed.
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
            raise DependencyError(f"train.report_to=[{name}] needs a package that is missing: pip install {name}")
