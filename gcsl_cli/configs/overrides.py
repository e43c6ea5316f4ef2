"""Check override lines: their syntax, the groups and options, and the keys that they name."""

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gcsl_cli.configs.hydra_internals import child, is_empty
from gcsl_cli.configs.search_path import conf_dir
from gcsl_cli.errors import ConfigError, did_you_mean, first_line, listed

# The one group whose keys have another name: files in conf/trainer/ set the node `train`.
NODES = {"trainer": "train"}
SECOND_PLACES = (("scorer", "second_scorer"),)
"""Groups that fill another node too, which is written `scorer@second_scorer=NAME`."""
CHOSEN_BY = {"scorer": "scorer", "second_scorer": "scorer@second_scorer"}
"""Nodes that may be empty, and the group that fills each."""
MOST_RUNS = 10_000
"""Largest number of runs in a multirun."""


def parse(lines: Sequence[str], groups: dict[str, list[str]]) -> list[Any]:
    """Parse override lines into Hydra's `Override` objects, one per line.

    Raises:
        ConfigError: a line that is not `key=value` or has no value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    parsed: list[Any] = []
    for line in lines:
        if line.lstrip("+~").startswith(("=", "@")):
            raise ConfigError(f"{line!r} is not an override: the key is missing. Write key=value. Example: seed=1")
        try:
            parsed.extend(parser.parse_overrides([line]))
        except HydraException as error:
            raise ConfigError(_not_an_override(line, groups)) from error
        if line.rstrip().endswith("=") and not line.startswith("~"):
            key = line.rstrip("= ").lstrip("+")
            choices = f" Available: {listed(groups[key])}." if key in groups else ""
            raise ConfigError(f"{line}: the value is missing. Write {key}={'NAME' if choices else 'VALUE'}.{choices}")
    return parsed


def _not_an_override(line: str, groups: dict[str, list[str]]) -> str:
    if "=" not in line:
        homes = [f"{group}={line}" for group, options in groups.items() if line in options]
        hint = f" Did you mean {' or '.join(homes)}?" if homes else " Example: seed=1"
        return f"{line!r} is not an override: write key=value.{hint}"
    key, value = line.split("=", 1)
    if not _is_key(key):
        return f"{line!r}: {key.strip()!r} is not a key. A key is names joined by dots. Example: train.batch_size=8"
    if value.startswith("{") and value.endswith("}"):
        return (
            f"{line!r}: the keys of {{...}} take no quotes and only plain characters: '{key.strip()}={{some name: 1}}'."
        )
    return (
        f"{line!r} is not a valid key=value pair. Put values with spaces, commas, colons, braces or equals signs "
        f"in quotes: {text_override(key.strip(), value)}."
    )


def _is_key(key: str) -> bool:
    """Return True if a text can stand before the equals sign of an override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(f"{key}=1")
    except HydraException:
        return False
    return True


def text_override(key: str, text: str) -> str:
    """The override that sets a key to a text with any characters, ready to be pasted into a shell."""
    inner = text.replace('"', '\\"')
    return shlex.quote(f'{key}="{inner}"')


def check_runs(parsed: Sequence[Any]) -> None:
    """Raise `ConfigError` unless the sweeps of a multirun have between one and `MOST_RUNS` combinations."""
    from hydra.core.override_parser.types import Glob, RangeSweep
    from hydra.errors import HydraException

    runs = 1
    for override in parsed:
        if not override.is_discrete_sweep():
            continue
        value = override.value()
        if isinstance(value, Glob):
            raise ConfigError(f"{override.input_line}: glob(...) is not supported. List the values: KEY=a,b,c.")
        try:
            # A range may be endless.
            values = value.range() if isinstance(value, RangeSweep) else override.sweep_string_iterator()
            count = sum(1 for _ in itertools.islice(values, MOST_RUNS + 1))
        except (HydraException, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{override.input_line}: {first_line(error)}. List the values: KEY=a,b,c.") from error
        if not count:
            raise ConfigError(f"{override.input_line}: has no values, so there is nothing to run.")
        runs *= count
        if runs > MOST_RUNS:
            raise ConfigError(f"{override.input_line}: more than {MOST_RUNS} runs. Sweep over fewer values.")


def check_direction(sweeper: DictConfig) -> None:
    """Raise `ConfigError` unless a sweeper minimizes the one number that jobs return."""
    direction = sweeper.get("direction")
    name = getattr(direction, "name", direction)
    if name not in (None, "minimize"):
        raise ConfigError(
            f"hydra.sweeper.direction={name}: jobs return one number of which lower is better, negated where "
            "necessary. Leave hydra.sweeper.direction out."
        )


def check_launcher(launcher: Any) -> None:
    """Raise `ConfigError` for a launcher that can start no job, also in a single run, which starts none."""
    if not isinstance(launcher, DictConfig):
        raise ConfigError(f"hydra.launcher={launcher}: expected a group of keys. Choose one with hydra/launcher=NAME.")
    if launcher.get("n_jobs") == 0:
        raise ConfigError(
            "hydra.launcher.n_jobs=0: must be the number of runs that are at work at once, or -1 for one per core."
        )


def check_sweeps(parsed: Sequence[Any]) -> None:
    """Raise `ConfigError` for a sweep (`seed=0,1,2`) in a single run, with both ways to write it."""
    for override in parsed:
        if override.is_sweep_override():
            key, value = override.get_key_element(), override.get_value_string()
            raise ConfigError(
                f"{override.input_line}: several values need a multirun; add -m for one run per value "
                f"(or write a list as {shlex.quote(f'{key}=[{value}]')}, a text as {text_override(key, value)})."
            )


def check_group(override: Any, groups: dict[str, list[str]]) -> None:
    """Raise `ConfigError` unless an override of a group selects one of its options, without any prefix."""
    group, option = override.key_or_group, override.value()
    options = groups[group]
    if override.package is not None and (group, override.package) not in SECOND_PLACES:
        raise ConfigError(
            f"{override.input_line}: the package of a group is fixed. Write {group}=NAME: {listed(options)}."
        )
    if override.is_delete():
        raise ConfigError(f"{override.input_line}: a group cannot be removed. Choose one of: {listed(options)}.")
    if override.is_add() or override.is_force_add():
        plain = override.input_line.lstrip("+")
        raise ConfigError(f"{override.input_line}: {group} is already in the config; write {plain} without the +.")
    if not isinstance(option, str):
        raise ConfigError(
            f"{override.input_line}: {group} takes the name of one option: {listed(options)}. "
            f"To set a single key, write {group}.KEY=VALUE."
        )
    if option not in options:
        raise ConfigError(
            f"{group}={option}: no such option.{did_you_mean(option, options)} Available: {listed(options)}."
        )


def check_key(override: Any, config: DictConfig, groups: dict[str, list[str]]) -> None:
    """Raise `ConfigError` unless an override sets a key of the schema.

    Only free mappings accept new entries (`+key=...`) and deletions (`~key`).
    """
    path, line = override.key_or_group, override.input_line
    if not _is_known(config, path):
        added = " New keys cannot be added with +: every key is in the schema." if line.startswith("+") else ""
        raise ConfigError(f"{path}: {_unknown(path, config, groups)}{added}")
    if _is_free(config, path.rpartition(".")[0]):
        return
    if override.is_delete():
        raise ConfigError(f"{line}: a key cannot be removed. Set it instead, to {path}=null if it may be empty.")
    if (override.is_add() or override.is_force_add()) and not _is_free(config, path):
        raise ConfigError(f"{line}: the key is already in the schema, so it needs no +. Write {line.lstrip('+')}.")


def _key_names(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield every key as a dotted path, except Hydra's own: `seed`, `goal.levels.by`, ..."""
    for key in config:
        path = f"{prefix}{key!s}"
        if path == "hydra":
            continue
        yield path
        node = child(config, key)
        if isinstance(node, DictConfig) and not is_empty(node):
            yield from _key_names(node, f"{path}.")


def _is_known(config: DictConfig, path: str) -> bool:
    """Return True if a key is a field of the schema or an entry of a free mapping."""
    return _is_free(config, path) or len(_known_nodes(config, path)) == len(path.split("."))


def _is_free(config: DictConfig, path: str) -> bool:
    """Return True if a key is that of a free mapping, which is declared as `dict[...]`, or of an entry in one."""
    return any(isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict for node in _known_nodes(config, path))


def _known_nodes(config: DictConfig, path: str) -> list[Any]:
    """The nodes on the way to a key, as far as they exist."""
    found: list[Any] = []
    node: Any = config
    for part in path.split("."):
        if not isinstance(node, DictConfig) or part not in list(node):
            break
        node = child(node, part)
        found.append(node)
    return found


def _unknown(path: str, config: DictConfig, groups: dict[str, list[str]]) -> str:
    head, _, rest = path.partition(".")
    if rest and head in NODES:
        return f"no such key. Did you mean {NODES[head]}.{rest}?"
    if not rest:
        keys = [str(key) for key in config if key != "hydra" and key not in groups]
        near = did_you_mean(path, [*groups, *_key_names(config)])
        return f"no such key or group.{near or f' Groups: {listed(groups)}. Keys: {listed(keys)}.'}"
    near = did_you_mean(path, _key_names(config))
    parts = path.split(".")
    nodes = _known_nodes(config, path)
    files = {name: conf_dir() / head / f"{name}.yaml" for name in groups.get(head, [])}
    sets = re.compile(rf"^{re.escape(rest)}:", re.MULTILINE)
    owners = [name for name, file in files.items() if file.is_file() and sets.search(file.read_text("utf-8"))]
    if owners:
        return f"no such key of this {head}. It is a key of {listed(f'{head}={name}' for name in owners)}."
    if nodes and not isinstance(nodes[-1], DictConfig):
        known = ".".join(parts[: len(nodes)])
        if known in CHOSEN_BY:
            return f"no {known} is chosen. Choose one with {CHOSEN_BY[known]}=NAME."
        return f"no such key: {known} has no keys of its own. Set it as a whole: {known}=VALUE."
    for cut in range(len(parts) - 1, 0, -1):
        parent = OmegaConf.select(config, ".".join(parts[:cut]), throw_on_missing=False)
        if isinstance(parent, DictConfig):
            siblings = f" Keys of {'.'.join(parts[:cut])}: {listed(str(key) for key in parent)}."
            return f"no such key.{near or siblings}"
    return f"no such key.{near}"
