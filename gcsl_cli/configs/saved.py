"""The config that a run has saved in its folder."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcsl_cli.configs.schema import ModelConfig
from gcsl_cli.errors import RunError, first_line

FILE_NAME = "config.yaml"


def saved_model(folder: Path) -> ModelConfig:
    """Return the pretrained model of the run in `folder`.

    Raises:
        RunError: the file is missing or damaged.
    """
    from yaml import YAMLError

    path = folder / FILE_NAME
    if not path.is_file():
        raise RunError(f"{path}: no such file; the run folder is incomplete.")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(path))
        model = config["model"]
        return ModelConfig(model.get("name", ""), model["uri"], model.get("sha256"), model.get("revision"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, YAMLError, OmegaConfBaseException) as error:
        raise RunError(f"{path}: damaged ({first_line(error)}). Train again with force=true.") from error
