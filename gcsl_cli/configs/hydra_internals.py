"""The private parts of Hydra and OmegaConf that gcsl relies on, all in one place.

They may move in any release; `tests/unit/configs/test_hydra_internals.py` names the part that did. Hydra is imported
inside the functions, because `gcsl --help` must not wait for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from gcsl_cli.configs.yaml_files import check_size, file_errors

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""The `_target_` of Hydra's default sweeper."""


def loader_class() -> Any:
    """Return the class that composes configs."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    return ConfigLoaderImpl


def loader(folder: Path, extra: Path | None = None) -> Any:
    """Return a config loader over `folder`, and over `extra` in the position that `--config-dir` gives it."""
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery

    search_path = create_config_search_path(str(folder))
    if extra is not None:
        before = SearchPathQuery(provider="schema")
        search_path.prepend(provider="command-line", path=f"file://{extra.absolute()}", anchor=before)
    made = loader_class()(search_path)
    made.repository = _repository(search_path)
    return made


def _repository(search_path: Any) -> Any:
    """Return a repository of config files that names the file in its errors."""
    from hydra._internal.config_repository import ConfigRepository
    from hydra.core.object_type import ObjectType

    class Repository(ConfigRepository):
        def load_config(self, config_path: str) -> Any:
            source = self._find_object_source(config_path, ObjectType.CONFIG)
            if source is None or source.scheme() != "file":
                return super().load_config(config_path)
            file = Path(source.path, f"{config_path.removesuffix('.yaml')}.yaml")
            with file_errors(file):
                check_size(file)
                return super().load_config(config_path)

    return Repository(config_search_path=search_path)


def apply_override(override: Any, config: DictConfig) -> None:
    """Apply one parsed override to a composed config, in place."""
    loader_class()._apply_overrides_to_config([override], config)


def combinations(overrides: Sequence[Any]) -> list[list[str]]:
    """Return the override lines of every job that Hydra's default sweeper would run, in its order."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return [list(lines) for lines in BasicSweeper.split_arguments(list(overrides), None)[0]]


def child(node: DictConfig | ListConfig, key: Any) -> Any:
    """Return the node of a key as it is: an interpolation is not resolved, a missing value is no error."""
    return node._get_node(key)


def is_empty(node: DictConfig | ListConfig) -> bool:
    """Return True if a container has no keys of its own: it is null, missing or an interpolation."""
    return node._is_none() or node._is_missing() or node._is_interpolation()


def declared_type(node: DictConfig, key: str) -> Any:
    """Return the type that the schema declares for a key that exists in `node`."""
    return child(node, key)._metadata.type_hint
