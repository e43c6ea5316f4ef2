"""Turn errors of Hydra and OmegaConf into gcsl's messages: the value, what is allowed, the fix."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf, errors

from gcsl_cli.configs.hydra_internals import declared_type
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import ConfigError, did_you_mean, listed

GLOBAL_GROUPS = ("debug", "experiment")
"""Groups whose files set keys of the whole config."""


@contextmanager
def config_errors(*others: type[Exception], config: DictConfig | None = None) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise for a faulty config, and `others`, into a `ConfigError`."""
    from hydra.errors import HydraException

    try:
        yield
    except RecursionError as error:
        raise ConfigError(
            "A config file includes itself (in its defaults, by an anchor or by an interpolation), or is nested too "
            "deeply. Check the files of --config-dir."
        ) from error
    except (HydraException, errors.OmegaConfBaseException, *others) as error:
        raise ConfigError(message_for(error, config)) from error


def message_for(error: BaseException, config: DictConfig | None, override: Any = None, prefix: str = "") -> str:
    """Return one message for an error raised while composing.

    Types are declared in `config`: the config as far as it is composed, or the schema of the node. `override` was being
    applied, and `prefix` is the path of the node that was being typed, with a trailing dot.
    """
    cause = _omegaconf_cause(error)
    if override is not None:
        path = override.key_or_group
        hint = _declared(config, path) if config is not None else None
        if hint is not None and isinstance(cause, errors.ValidationError):
            return _wrong_value(path, _plain(override), hint)
        if isinstance(cause, errors.ConfigKeyError | errors.ConfigAttributeError):
            if isinstance(cause.parent_node, DictConfig) and OmegaConf.get_type(cause.parent_node) is dict:
                return f"{override.input_line}: a new key needs a +. Write +{override.input_line}."
            return _omegaconf(cause, config, "" if str(cause.full_key).startswith(path) else f"{path}.")
        return f"{override.input_line}: {_first_line(cause or error)}"
    if cause is not None:
        file = re.match(r"In '([^']+)'", str(error))  # if Hydra says which file the error is in
        return (f"In {file.group(1)}.yaml: " if file else "") + _omegaconf(cause, config, prefix)
    text = _first_line(error)
    return text if text.endswith(".") else f"{text}."


def missing_value(path: str) -> str:
    """Return the message for a mandatory key (`???`) without a value."""
    return f"{path} has no value and needs one: add {path}=VALUE."


def expected(hint: Any) -> str:
    """Describe a declared type: `a whole number`, `one of: all, sample`, `a list of numbers, like [a, b]`."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", dict: "a mapping"}
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        return " or ".join("null" if part is type(None) else expected(part) for part in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of: {listed(member.name for member in hint)}"
    if get_origin(hint) is list:
        inner = {int: "whole numbers", float: "numbers", str: "strings"}.get(get_args(hint)[0], "values")
        return f"a list of {inner}, like [a, b]"
    if get_origin(hint) is dict:
        return "a mapping"
    return names.get(hint, "a group of keys" if isinstance(hint, type) else "another value")


def _wrong_value(path: str, value: Any, hint: Any) -> str:
    """Return the message for a value of the wrong type; for enums it suggests the closest name."""
    near = ""
    for part in (hint, *get_args(hint)):
        if isinstance(part, type) and issubclass(part, Enum):
            near = did_you_mean(str(value), [member.name for member in part])
    return f"{path}={'null' if value is None else value}: expected {expected(hint)}.{near}"


def _declared(config: DictConfig, path: str) -> Any:
    parent_path, _, name = path.rpartition(".")
    parent = OmegaConf.select(config, parent_path, throw_on_missing=False) if parent_path else config
    return declared_type(parent, name) if isinstance(parent, DictConfig) and name in parent else None


def _omegaconf(cause: errors.OmegaConfBaseException, config: DictConfig | None, prefix: str) -> str:
    path = f"{prefix}{cause.full_key or ''}"
    if isinstance(cause, errors.ConfigKeyError | errors.ConfigAttributeError):
        if path in GLOBAL_GROUPS:
            return "its keys are those of the whole config, so its first line has to be: # @package _global_"
        parts = str(cause.key).split(".")
        if len(parts) > 1:
            nested = ": {".join(parts) + ": VALUE" + "}" * (len(parts) - 1)
            return f"{path}: the keys of a file have no dots. Write {nested}."
        names = [str(key) for key in cause.parent_node] if isinstance(cause.parent_node, DictConfig) else []
        parent = path.rpartition(".")[0]
        near = did_you_mean(path, [f"{parent}.{name}" if parent else name for name in names])
        siblings = f" Keys of {parent or 'the config'}: {listed(names)}."
        return f"{path}: no such key.{near or siblings}"
    if isinstance(cause, errors.InterpolationResolutionError):
        return f"{path}: {_first_line(cause)}."
    schema = config if config is not None else OmegaConf.structured(Config)
    hint = _declared(schema, path.removeprefix(prefix))
    value = re.search(r"[Vv]alue '(.*?)'", _first_line(cause))
    if hint is not None and value:
        return _wrong_value(path, value.group(1), hint)
    return f"{path}: {_first_line(cause)}." if path else f"{_first_line(cause)}."


def _omegaconf_cause(error: BaseException) -> errors.OmegaConfBaseException | None:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, errors.OmegaConfBaseException):
            return link
        link = link.__cause__ or link.__context__
    return None


def _plain(override: Any) -> Any:
    value = override.value()
    return override.get_value_string() if isinstance(value, (list, dict, str)) else value


def _first_line(error: BaseException) -> str:
    text = getattr(error, "msg", None) or str(error)
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
