"""`_target_` in a config names code: ours is taken, foreign code only when the command line allows it."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcsl_cli.errors import ConfigError, DependencyError, did_you_mean

ALLOW = "allow_custom_code"
OURS = ("gcsl_cli.",)
# Logging's dictConfig and Hydra's launchers name code as well; theirs is known.
HYDRAS = ("hydra.", "hydra_plugins.", "logging.", "colorlog.")


def allowed(overrides: Sequence[str]) -> bool:
    """Whether the command line itself says `allow_custom_code=true`; a YAML file cannot."""
    given = [line.lstrip("+").partition("=")[2] for line in overrides if line.lstrip("+").startswith(f"{ALLOW}=")]
    return bool(given) and given[-1].strip().lower() in {"true", "yes", "on"}


def check_targets(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse code from outside gcsl anywhere in a config unless the command line allows it.

    Raises:
        ConfigError: the key and the target, and what to add.
    """
    if allowed(overrides):
        return
    for path, target in _targets(config, ""):
        in_hydra = path.startswith("hydra.")
        own = target.startswith(HYDRAS) if in_hydra else _is_ours(target)
        if not own:
            raise ConfigError(
                f"{path}={target}: this runs code from outside gcsl. If you trust it, add {ALLOW}=true "
                "to the command line (a config file cannot allow it)."
            )


def _targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(node, DictConfig | ListConfig) or _is_empty(node):
        return
    children: list[tuple[str, Any]]
    if isinstance(node, ListConfig):
        children = [(f"{path}[{index}]", index) for index in range(len(node))]
    else:
        children = [(f"{path}.{key!s}".lstrip("."), key) for key in node]
    for child_path, key in children:
        # In Hydra's logging configs `class` and `()` are called as `_target_` is elsewhere.
        names_code = key == "_target_" or (key in {"class", "()"} and child_path.startswith("hydra."))
        if names_code:
            yield child_path, str(_value(node, key))
        else:
            yield from _targets(node._get_node(key), child_path)


def _is_empty(node: DictConfig | ListConfig) -> bool:
    return node._is_none() or node._is_missing() or node._is_interpolation()


def _value(node: Any, key: Any) -> Any:
    try:
        return node[key]
    except OmegaConfBaseException:
        return node._get_node(key)


def _is_ours(target: str) -> bool:
    """Ours by name and by origin: what one of our modules imported from elsewhere is not ours."""
    return target.startswith(OURS) and str(getattr(locate(target), "__module__", "")).startswith(OURS)


def locate(target: str) -> Any:
    """The class or function that `package.module.Name` names.

    Raises:
        ConfigError: no such module or name.
        DependencyError: the module needs a package that is not installed.
    """
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise DependencyError(f"{target} needs the package {error.name}: pip install {error.name}") from error
        raise ConfigError(f"_target_={target}: there is no module {module_name}.") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"_target_={target}: write package.module.Name.") from error
    if not hasattr(module, name):
        names = [other for other, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        raise ConfigError(f"_target_={target}: the module {module_name} has no {name}.{did_you_mean(name, names)}")
    return getattr(module, name)


def typed(node: DictConfig) -> DictConfig:
    """The node checked against the dataclass that its `_target_` names, and the nodes inside it likewise.

    A node without `_target_`, or whose target is no dataclass, is returned as it is.

    Raises:
        OmegaConfBaseException: a key or a value that the dataclass has no place for (relative to the node).
    """
    target = None if _is_empty(node) else node.get("_target_")
    found = locate(str(target)) if target is not None else None
    if not (isinstance(found, type) and is_dataclass(found)):
        return node
    schema: DictConfig = OmegaConf.structured(found)
    plain: list[str] = []
    for key in node:
        child = node._get_node(key)
        inner = typed(child) if isinstance(child, DictConfig) else child
        if inner is not child and key in schema:
            schema[key] = inner
        elif key != "_target_":
            plain.append(str(key))
    merged = OmegaConf.merge(schema, OmegaConf.masked_copy(node, plain))
    assert isinstance(merged, DictConfig)
    return merged
