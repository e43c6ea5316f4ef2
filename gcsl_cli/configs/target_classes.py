"""Classes named by `_target_` in a config: decide which are allowed, import them, check nodes against them."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gcsl_cli.configs.hydra_internals import child, is_empty
from gcsl_cli.errors import ConfigError, DependencyError, did_you_mean, first_line, listed

ALLOW = "allow_custom_code"
PROGRAM = "generation.vllm.python"
"""The key that names a program to run."""
ENGINE = "generation.vllm.engine"
REMOTE_CODE = "trust_remote_code"
OWN_OPTIONS = ("model", "logits_processors", "skip_tokenizer_init")
"""Options of the engine that say what is sampled, and how results come back."""
OURS = ("gcsl_cli.",)
# Hydra's own node names code too, in launchers and in logging configs; these packages are known.
HYDRAS = ("hydra.", "hydra_plugins.", "logging.", "colorlog.", "optuna.samplers.")


def check_targets(config: DictConfig, lines: Sequence[str]) -> None:
    """Raise `ConfigError` for code from outside gcsl anywhere in a config, unless the command line allows it."""
    if REMOTE_CODE in _engine(config):
        raise ConfigError(f"{ENGINE}.{REMOTE_CODE}: gcsl never runs code that comes with a model. Leave it out.")
    for name in OWN_OPTIONS:
        if name in _engine(config):
            raise ConfigError(f"{ENGINE}.{name}: gcsl sets this option of the engine itself. Leave it out.")
    # The command line itself has to say so; a YAML file cannot.
    values = [line.lstrip("+").partition("=")[2] for line in lines if line.lstrip("+").startswith(f"{ALLOW}=")]
    if values and values[-1].strip().lower() in {"true", "yes", "on"}:
        return
    for path, target in _targets(config, ""):
        if path.startswith("hydra."):
            known = target.startswith(HYDRAS)
        else:
            found = locate(target) if target.startswith(OURS) else None
            # Defined in gcsl: something that a gcsl module merely imports is not.
            known = str(getattr(found, "__module__", "")).startswith(OURS)
            known = known and not getattr(found, "runs_custom_code", False)
        if not known:
            raise ConfigError(
                f"{path}={target}: this runs code from outside gcsl. If you trust it, add {ALLOW}=true "
                "to the command line (a config file cannot allow it)."
            )
    if program := _program(config, lines):
        raise ConfigError(
            f"{PROGRAM}={program}: a config file names a program to run. If you trust it, add {ALLOW}=true to the "
            f"command line, or give {PROGRAM} there."
        )
    _check_engine(config, lines)


def _check_engine(config: DictConfig, lines: Sequence[str]) -> None:
    """A number switches something of vLLM on; a text, list or mapping may name code for it to import."""
    for name, value in _engine(config).items():
        key = f"{ENGINE}.{name}"
        if not isinstance(value, bool | int | float) and not any(line.lstrip("+").startswith(key) for line in lines):
            raise ConfigError(
                f"{key}={value}: in a config file, only numbers and true or false can be given. If you trust it, give "
                f"it on the command line, or add {ALLOW}=true there."
            )


def _engine(config: DictConfig) -> dict[str, Any]:
    options = OmegaConf.select(config, ENGINE, throw_on_resolution_failure=False)
    return {str(name): value for name, value in options.items()} if isinstance(options, DictConfig) else {}


def _program(config: DictConfig, lines: Sequence[str]) -> str | None:
    """The value of `PROGRAM`, if it does not come from the command line."""
    if any(line.lstrip("+").startswith((f"{PROGRAM}=", "generation.vllm=")) for line in lines):
        return None
    path: str | None = OmegaConf.select(config, PROGRAM, throw_on_resolution_failure=False)
    return path


def _targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and value of every entry that names code."""
    if not isinstance(node, DictConfig | ListConfig) or is_empty(node):
        return
    for key in range(len(node)) if isinstance(node, ListConfig) else node:
        inner = f"{path}[{key!s}]" if isinstance(node, ListConfig) else f"{path}.{key!s}".lstrip(".")
        # In Hydra's logging configs, `class` and `()` name code as `_target_` does elsewhere.
        if key == "_target_" or (key in ("class", "()") and inner.startswith("hydra.")):
            yield inner, str(_value(node, key))
        else:
            yield from _targets(child(node, key), inner)


def _value(node: Any, key: Any) -> Any:
    """Return a value, or its interpolation if that cannot be resolved."""
    try:
        return node[key]
    except OmegaConfBaseException:
        return child(node, key)


def locate(target: str) -> Any:
    """Import the class or function named `package.module.Name`.

    Raises:
        ConfigError: the module or the name does not exist, or the module cannot be imported.
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
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"_target_={target}: importing {module_name} failed ({reason}).") from error
    if not hasattr(module, name):
        names = [other for other, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        raise ConfigError(f"_target_={target}: the module {module_name} has no {name}.{did_you_mean(name, names)}")
    return getattr(module, name)


def dataclass_of(path: str, target: str, base: str | None) -> type:
    """Import the dataclass `target`; `ConfigError` if it cannot be used or does not derive from `base`."""
    found = locate(target)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ConfigError(f"{path}={target}: not a dataclass. Name a class that has the keys of the config as fields.")
    if base is not None and not issubclass(found, locate(base)):
        raise ConfigError(f"{path}={target}: does not derive from {base}.")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigError(f"{path}={target}: does not implement {listed(missing)}.")
    return found


def typed(node: DictConfig) -> DictConfig:
    """Return a node, and the nodes inside it, checked against the dataclass named by its `_target_`.

    A node without `_target_`, or whose target is not a dataclass, is returned unchanged.

    Raises:
        OmegaConfBaseException: an unknown key or a value of the wrong type; its path is relative to the node.
    """
    target = None if is_empty(node) else node.get("_target_")
    found = locate(str(target)) if target is not None else None
    if not (isinstance(found, type) and is_dataclass(found)):
        return node
    schema: DictConfig = OmegaConf.structured(found)
    plain: list[str] = []
    for key in node:
        value = child(node, key)
        inner = typed(value) if isinstance(value, DictConfig) else value
        if inner is not value and key in schema:
            schema[key] = inner
        elif key != "_target_":
            plain.append(str(key))
    merged = OmegaConf.merge(schema, OmegaConf.masked_copy(node, plain))
    assert isinstance(merged, DictConfig)
    return merged
