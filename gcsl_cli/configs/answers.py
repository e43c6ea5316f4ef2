"""What Hydra and OmegaConf say about a mistake, in our words: the value, what is allowed, the fix."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from gcsl_cli.configs.keys import hint_of, wrong_value
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import did_you_mean, listed


def answer(error: BaseException, config: DictConfig | None, override: Any = None, prefix: str = "") -> str:
    """One message for an error of composing; `config` and `override` say more where they are known."""
    cause = _omegaconf_cause(error)
    if override is not None:
        path = override.key_or_group
        hint = hint_of(config, path) if config is not None else None
        if hint is not None and isinstance(cause, ValidationError):
            return wrong_value(path, _plain(override), hint)
        if isinstance(cause, ConfigKeyError | ConfigAttributeError):
            return _omegaconf(cause, config, "" if str(cause.full_key).startswith(path) else f"{path}.")
        return f"{override.input_line}: {_first_line(cause or error)}"
    if cause is None:
        return _composition(error)
    return _in_file(error) + _omegaconf(cause, config, prefix)


def missing(path: str) -> str:
    """The message for a value that has to be given (`???`)."""
    return f"{path} has no value and needs one: add {path}=VALUE."


def _omegaconf(cause: OmegaConfBaseException, config: DictConfig | None, prefix: str) -> str:
    path = f"{prefix}{cause.full_key or ''}"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        names = _siblings(cause)
        parent = path.rpartition(".")[0]
        known = [f"{parent}.{name}" if parent else name for name in names]
        near = did_you_mean(path, known)
        here = f" Keys of {parent or 'the config'}: {listed(names)}."
        return f"{path}: no such key.{near or here}"
    if isinstance(cause, InterpolationResolutionError):
        return f"{path}: {_first_line(cause)}."
    schema = config if config is not None else OmegaConf.structured(Config)
    hint = cause.ref_type if prefix else hint_of(schema, path)
    value = re.search(r"[Vv]alue '(.*?)'", _first_line(cause))
    if hint is not None and value:
        return wrong_value(path, value.group(1), hint)
    return f"{path}: {_first_line(cause)}." if path else f"{_first_line(cause)}."


def _siblings(cause: OmegaConfBaseException) -> list[str]:
    node = cause.parent_node
    return [str(key) for key in node] if isinstance(node, DictConfig) else []


def _composition(error: BaseException) -> str:
    text = _first_line(error)
    if "while scanning" in str(error) or "while parsing" in str(error) or "could not find expected" in str(error):
        return "A YAML file cannot be read: " + " ".join(str(error).split())
    return text if text.endswith(".") else f"{text}."


def _in_file(error: BaseException) -> str:
    """`In trainer/mine.yaml: `, when Hydra says in which file it was."""
    found = re.match(r"In '([^']+)'", str(error))
    return f"In {found.group(1)}.yaml: " if found else ""


def _omegaconf_cause(error: BaseException) -> OmegaConfBaseException | None:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OmegaConfBaseException):
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
