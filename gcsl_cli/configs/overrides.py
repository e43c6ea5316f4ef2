"""Override lines: their syntax, and the groups and options that they name, checked before anything is composed."""

from collections.abc import Sequence
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed


def parse(overrides: Sequence[str], groups: dict[str, list[str]]) -> list[Any]:
    """Hydra's `Override` objects, one a line.

    Raises:
        ConfigError: a line that is not `key=value`, or that has no value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    parsed: list[Any] = []
    for line in overrides:
        try:
            parsed.extend(parser.parse_overrides([line]))
        except HydraException as error:
            raise ConfigError(_not_an_override(line, groups)) from error
        if line.rstrip().endswith("=") and not line.startswith("~"):
            raise ConfigError(f"{line}: the value is missing. Write {line}VALUE, or {line}null for no value.")
    return parsed


def _not_an_override(line: str, groups: dict[str, list[str]]) -> str:
    if "=" not in line:
        homes = [f"{group}={line}" for group, options in groups.items() if line in options]
        hint = f" Did you mean {' or '.join(homes)}?" if homes else " Example: seed=1"
        return f"{line!r} is not an override: write key=value.{hint}"
    key, value = line.split("=", 1)
    return (
        f"{line!r} cannot be read as key=value. Put values with blanks, commas, colons, braces or equals signs "
        f"in quotes: '{key.strip()}=\"{value}\"'."
    )


def check_sweeps(parsed: Sequence[Any]) -> None:
    """Refuse a sweep (`seed=0,1,2`) in a single run."""
    for override in parsed:
        if override.is_sweep_override():
            key, value = override.get_key_element(), override.get_value_string()
            raise ConfigError(
                f"{override.input_line}: several values make a multirun; add -m for one run a value "
                f"(or write a list as '{key}=[{value}]')."
            )


def check_group(override: Any, groups: dict[str, list[str]]) -> None:
    """Check the option of a group, and that the group is chosen from and not changed.

    Raises:
        ConfigError: an unknown option, or a prefix that a group cannot have.
    """
    group, option = override.key_or_group, override.value()
    options = groups[group]
    if override.package is not None:
        raise ConfigError(f"{override.input_line}: a group has one place. Write {group}=NAME: {listed(options)}.")
    if override.is_delete():
        raise ConfigError(f"{override.input_line}: a group cannot be taken out. Choose one of: {listed(options)}.")
    if override.is_add() or override.is_force_add():
        plain = override.input_line.lstrip("+")
        raise ConfigError(f"{override.input_line}: {group} is there already; write {plain} without the +.")
    if option is None:
        return
    if not isinstance(option, str):
        raise ConfigError(
            f"{override.input_line}: {group} takes the name of one option: {listed(options)}. "
            f"A single key is set as {group}.KEY=VALUE."
        )
    if option not in options:
        raise ConfigError(
            f"{group}={option}: no such option.{did_you_mean(option, options)} Available: {listed(options)}."
        )
