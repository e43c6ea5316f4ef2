"""Keys of the schema: which there are, what a value may be, and the answer to one that is wrong."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, Union, get_args, get_origin

from omegaconf import DictConfig, Node, OmegaConf

from gcsl_cli.errors import ConfigError, did_you_mean, listed

# `trainer/*.yaml` fills the node `train`: the one group whose keys have another name.
NODES = {"trainer": "train"}


def key_names(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every key as a dotted path, Hydra's own aside: `seed`, `goal.levels.by`, ..."""
    for key in config:
        path = f"{prefix}{key!s}"
        if path == "hydra":
            continue
        yield path
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from key_names(node, f"{path}.")


def is_known(config: DictConfig, path: str) -> bool:
    """Whether the schema has a place for the key: a field, or an entry of a field that is a free mapping."""
    node: Any = config
    for part in path.split("."):
        if not isinstance(node, DictConfig):
            return False
        if is_mapping(node):
            return True
        if not isinstance(node._content, dict) or part not in node._content:
            return False
        node = node._get_node(part)
    return True


def is_mapping(node: DictConfig) -> bool:
    """Whether a node takes any key: declared `dict[...]`, not a dataclass."""
    return OmegaConf.get_type(node) is dict


def check_key(override: Any, config: DictConfig, groups: dict[str, list[str]]) -> None:
    """Check that a key is in the schema and is set, not added or taken out.

    Raises:
        ConfigError: no such key or group, `+key=...`, `~key`.
    """
    path, line = override.key_or_group, override.input_line
    if not is_known(config, path):
        added = " Every key is in the schema already; one cannot be appended." if line.startswith("+") else ""
        raise ConfigError(f"{path}: {_unknown(path, config, groups)}{added}")
    parent = OmegaConf.select(config, path.rpartition(".")[0]) if "." in path else config
    free = isinstance(parent, DictConfig) and is_mapping(parent)
    if override.is_delete() and not free:
        raise ConfigError(f"{line}: a key cannot be taken out. Set it instead; {path}=null where it may be empty.")
    if (override.is_add() or override.is_force_add()) and not free:
        raise ConfigError(
            f"{line}: every key is in the schema already and appending is refused. Write {line.lstrip('+')}."
        )


def _unknown(path: str, config: DictConfig, groups: dict[str, list[str]]) -> str:
    head, _, rest = path.partition(".")
    if rest and head in NODES:
        return f"no such key. Did you mean {NODES[head]}.{rest}?"
    if "." not in path:
        top = [str(key) for key in config if key != "hydra" and key not in groups]
        near = did_you_mean(path, [*groups, *key_names(config)])
        return f"no such key or group.{near or f' Groups: {listed(groups)}. Keys: {listed(top)}.'}"
    near = did_you_mean(path, key_names(config))
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        parent = OmegaConf.select(config, ".".join(parts[:cut]), throw_on_missing=False)
        if isinstance(parent, DictConfig):
            here = f" Keys of {'.'.join(parts[:cut])}: {listed(str(key) for key in parent)}."
            return f"no such key.{near or here}"
    return f"no such key.{near}"


def expected(hint: Any) -> str:
    """What a value may be, in words: `a whole number`, `one of: all, sample`, `a list of numbers`."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a mapping"}
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        return " or ".join("null" if part is type(None) else expected(part) for part in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of: {listed(member.name for member in hint)}"
    if get_origin(hint) is list:
        inner = {int: "whole numbers", float: "numbers", str: "texts"}.get(get_args(hint)[0], "values")
        return f"a list of {inner}, like [a, b]"
    if get_origin(hint) is dict:
        return "a mapping"
    return names.get(hint, "a group of keys" if isinstance(hint, type) else "another value")


def wrong_value(path: str, value: Any, hint: Any) -> str:
    """The answer to a value of the wrong type, with the nearest name where names are allowed."""
    near = ""
    for part in (hint, *get_args(hint)):
        if isinstance(part, type) and issubclass(part, Enum):
            near = did_you_mean(str(value), [member.name for member in part])
    shown = "null" if value is None else value
    return f"{path}={shown}: expected {expected(hint)}.{near}"


def hint_of(config: DictConfig, path: str) -> Any:
    """The declared type of a key, `None` when it is not known."""
    parent_path, _, name = path.rpartition(".")
    parent = OmegaConf.select(config, parent_path, throw_on_missing=False) if parent_path else config
    if not isinstance(parent, DictConfig) or name not in parent:
        return None
    node = parent._get_node(name)
    return node._metadata.type_hint if isinstance(node, Node) else None
