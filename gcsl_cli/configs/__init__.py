"""From override lines to a checked `Config`: composed by Hydra, answered in our own words.

    load(["task=toxicity", "goal=threshold", "train.learning_rate=1e-4"]) -> Config(...)
    load(["train.lerning_rate=1"]) -> ConfigError: train.lerning_rate: no such key. Did you mean train.learning_rate?

Nothing here imports torch.
"""

from collections.abc import Sequence
from pathlib import Path

from gcsl_cli.configs.compose import Composer, finish, without_hydra
from gcsl_cli.configs.schema import Config
from gcsl_cli.configs.validate import validate

__all__ = ["Composer", "finish", "load", "validate", "without_hydra"]


def load(overrides: Sequence[str] = (), config_dir: Path | None = None) -> Config:
    """The checked configuration of one job; `config_dir` is a folder of the user's own groups.

    Raises:
        ConfigError: an override, a key, an option or a value that cannot be used, with the fix.
    """
    return finish(without_hydra(Composer(config_dir).compose(overrides)), overrides)
