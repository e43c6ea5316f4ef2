"""From override lines to a checked `Config`, composed by Hydra with gcsl's own error messages.

    load(["task=toxicity", "goal=threshold", "train.learning_rate=1e-4"]) -> Config(...)
    load(["train.lerning_rate=1"]) -> ConfigError: train.lerning_rate: no such key. Did you mean train.learning_rate?

Nothing here imports torch.
"""

from collections.abc import Sequence
from pathlib import Path

from gcsl_cli.configs.compose import Composer, finish, without_hydra
from gcsl_cli.configs.hydra_errors import config_errors
from gcsl_cli.configs.part_overrides import gathered
from gcsl_cli.configs.schema import Config
from gcsl_cli.configs.validate import validate

__all__ = ["Composer", "config_errors", "finish", "gathered", "load", "validate", "without_hydra"]


def load(overrides: Sequence[str] = (), config_dir: Path | None = None) -> Config:
    """Compose and check the config of one run; `config_dir` is a folder with the user's own groups.

    Raises:
        ConfigError: an invalid override, key, option or value, with the fix.
    """
    return finish(without_hydra(Composer(config_dir).compose(overrides)), overrides)
