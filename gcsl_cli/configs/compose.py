"""Compose override lines into one typed config, and report every mistake before Hydra starts a job."""

import copy
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gcsl_cli.configs import hydra_internals, overrides, search_path
from gcsl_cli.configs.hydra_errors import config_errors, message_for, missing_value
from gcsl_cli.configs.part_overrides import gathered
from gcsl_cli.configs.schema import Config
from gcsl_cli.configs.target_classes import check_targets, dataclass_of, typed
from gcsl_cli.configs.validate import validate
from gcsl_cli.errors import ConfigError, DependencyError, listed


class Composer:
    """Composes configs as `hydra.main` does later, from the shipped folder and the user's."""

    def __init__(self, config_dir: Path | None = None) -> None:
        self.loader = search_path.config_loader(config_dir)
        self.groups = search_path.all_groups(config_dir)

    def compose(self, lines: Sequence[str]) -> DictConfig:
        """Compose the config of one run, with its `hydra` node and with `task` and `method` typed; not yet resolved.

        Raises:
            ConfigError: an invalid override, or a mistake in a config file.
        """
        with config_errors():
            return self._compose(lines)

    def _compose(self, lines: Sequence[str]) -> DictConfig:
        parsed = overrides.parse(gathered(lines), self.groups)
        overrides.check_sweeps(parsed)
        choices, values = self._sorted(parsed)
        config = self._load([choice.input_line for choice in choices], multirun=False)
        overrides.check_launcher(config.hydra.launcher)
        # A _target_ on the command line decides which keys there are.
        values.sort(key=lambda override: not override.key_or_group.endswith("_target_"))
        targets = [override for override in values if override.key_or_group.endswith("_target_")]
        for override in targets:
            self._apply(override, config)
        for name in _named(config):
            check_named(config, name)
        check_targets(config, lines)
        type_nodes(config, lines)
        for override in values[len(targets) :]:
            overrides.check_key(override, config, self.groups)
            self._apply(override, config)
        check_targets(config, lines)
        return config

    def members(self, lines: Sequence[str]) -> list[list[str]]:
        """Return the overrides of every run of a multirun, in order.

        A sweeper other than Hydra's default may choose values adaptively; then a single member without the swept keys
        represents all runs.
        """
        parsed = overrides.parse(lines, self.groups)
        overrides.check_runs([override for override in parsed if override.key_or_group in self.groups])
        choices, _ = self._sorted(parsed)
        fixed = [choice.input_line for choice in choices if not choice.is_sweep_override()]
        sweeper = self._load(fixed, multirun=True).hydra.sweeper
        if not isinstance(sweeper, DictConfig):
            raise ConfigError(f"hydra.sweeper={sweeper}: expected a group of keys. Choose one with hydra/sweeper=NAME.")
        if sweeper._target_ != hydra_internals.BASIC_SWEEPER:
            overrides.check_direction(sweeper)
            return [[override.input_line for override in parsed if not override.is_sweep_override()]]
        params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        hydra_lines = [override.input_line for override in parsed if override.is_hydra_override()]
        swept = [override for override in parsed if not override.is_hydra_override()]
        for override in swept:
            if override.is_sweep_override() and not override.is_discrete_sweep():
                raise ConfigError(
                    f"{override.input_line}: Hydra's default sweeper takes lists (a,b,c), choice(...) and range(...). "
                    "An interval needs another sweeper, such as hydra/sweeper=optuna."
                )
        swept = [*overrides.parse(params, self.groups), *swept]
        overrides.check_runs(swept)
        members = hydra_internals.combinations(swept)
        return [hydra_lines + member for member in members]

    def _sorted(self, parsed: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        choices, values = [], []
        for override in parsed:
            if override.key_or_group in self.groups:
                for choice in _each(override):
                    overrides.check_group(choice, self.groups)
                choices.append(override)
            elif override.is_hydra_override():
                self._check_hydra_group(override)
                choices.append(override)
            else:
                values.append(override)
        return choices, values

    def _check_hydra_group(self, override: Any) -> None:
        group = override.key_or_group
        if "/" in group:
            options = self.loader.get_group_options(group)
            if not options or override.value() not in options:
                extra = PLUGINS.get((group, override.value()))
                if extra is not None:
                    raise DependencyError(f'{override.input_line} needs a package: pip install "gcsl-cli[{extra}]".')
                raise ConfigError(f"{override.input_line}: no such option. Available: {', '.join(options) or 'none'}.")

    def _load(self, lines: list[str], *, multirun: bool) -> DictConfig:
        from hydra.types import RunMode

        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        try:
            with config_errors(ValueError, OSError):
                loaded = self.loader.load_configuration(
                    search_path.ROOT_CONFIG, lines, mode, validate_sweep_overrides=False
                )
        except (AttributeError, AssertionError) as error:  # OmegaConf replaces a null by a mapping, or the reverse
            named = listed(line for line in lines if "hydra." in line)
            raise ConfigError(
                f"{named}: does not fit the node of Hydra's config that it is set in. Set hydra's mappings in a config "
                "file instead. To sweep, write -m KEY=a,b."
            ) from error
        return cast(DictConfig, loaded)

    def _apply(self, override: Any, config: DictConfig) -> None:
        from hydra.errors import HydraException

        try:
            hydra_internals.apply_override(override, config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(message_for(error, config, override)) from error


def _each(override: Any) -> list[Any]:
    """Return one override per option in a sweep over a group."""
    if not override.is_discrete_sweep():
        return [override]
    from hydra.core.override_parser.overrides_parser import OverridesParser

    key = override.get_key_element()
    lines = [f"{key}={value}" for value in override.sweep_string_iterator()]
    return list(OverridesParser.create().parse_overrides(lines))


PLUGINS = {
    ("hydra/launcher", "joblib"): "joblib",
    ("hydra/launcher", "submitit_slurm"): "slurm",
    ("hydra/launcher", "submitit_local"): "slurm",
    ("hydra/launcher", "ray"): "ray",
    ("hydra/sweeper", "optuna"): "optuna",
}
"""Options that a plugin of Hydra adds, and the extra of gcsl that installs it."""
SCORER = "gcsl_cli.scorers.base.Scorer"
TYPED = {"task": None, "method": "gcsl_cli.methods.base.Method", "scorer": SCORER, "second_scorer": SCORER}
"""Nodes whose schema is the dataclass named by their `_target_`, and the base class that it must have."""
OPTIONAL = ("scorer", "second_scorer")
"""Typed nodes that may be null. They replace the task's node of the same name."""
ROLLOUTS = "feedback"
"""Key of a task that samples the base model."""


def _named(config: DictConfig) -> list[str]:
    """The typed nodes that have a value or need one."""
    return [name for name in TYPED if name not in OPTIONAL or config.get(name) is not None]


def check_named(config: DictConfig, name: str) -> DictConfig:
    """Return the node `name`, a mapping with a `_target_` unless it is typed already; else `ConfigError`."""
    node = hydra_internals.child(config, name)
    if OmegaConf.is_missing(config, name) or config[name] is None:
        raise ConfigError(f"{name} has no value. Choose one: {name}=NAME (gcsl train --help lists them).")
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{name}: its config is not a mapping. Write KEY: VALUE lines, one of them _target_.")
    if OmegaConf.get_type(node) is dict and (OmegaConf.is_missing(node, "_target_") or node.get("_target_") is None):
        raise ConfigError(f"{name}._target_ has no value: it names the class of the {name}, as package.module.Name.")
    return node


def type_nodes(config: DictConfig, lines: Sequence[str]) -> None:
    """Replace the untyped nodes by their dataclasses, which reject unknown keys and wrong types from here on.

    A debug config (`debug=tiny` among `lines`) limits rollouts; from a task that has none, their key is removed.

    Raises:
        ConfigError: a key or a value that the dataclass does not have.
    """
    for name in _named(config):
        base, node = TYPED[name], check_named(config, name)
        if OmegaConf.get_type(node) is not dict:
            continue
        found = dataclass_of(f"{name}._target_", str(node._target_), base)
        if any(line.startswith("debug=") for line in lines) and ROLLOUTS not in {item.name for item in fields(found)}:
            node = OmegaConf.masked_copy(node, [str(key) for key in node if key != ROLLOUTS])
        try:
            checked = typed(node)
        except OmegaConfBaseException as error:
            raise ConfigError(message_for(error, OmegaConf.structured(found), prefix=f"{name}.")) from error
        with open_dict(config):
            config[name] = checked
    OmegaConf.set_struct(config, True)


def without_hydra(composed: DictConfig) -> DictConfig:
    """Return a copy of a composed config without its `hydra` node, as a job receives it."""
    config = copy.deepcopy(composed)
    with open_dict(config):
        del config["hydra"]
    return config


def finish(config: DictConfig, lines: Sequence[str]) -> Config:
    """Resolve and check a composed config without its `hydra` node.

    Of all sources, only the overrides of the command line (`lines`) can allow code from outside gcsl.

    Raises:
        ConfigError: a value that is missing, of the wrong type or out of range.
    """
    with config_errors(config=config):
        check_targets(config, lines)
        if any(OmegaConf.get_type(config, name) is dict for name in _named(config)):
            type_nodes(config, lines)
        for path in sorted(OmegaConf.missing_keys(config)):
            raise ConfigError(missing_value(path))
        filled = OmegaConf.to_object(config)
    assert isinstance(filled, Config)
    _check_goal_is_used(filled, lines)
    _hand_over_scorers(filled)
    validate(filled)
    return filled


def _hand_over_scorers(config: Config) -> None:
    """Give the scorers that the command line chose to the task; `ConfigError` if it has no place for one."""
    for name in OPTIONAL:
        scorer = getattr(config, name)
        if scorer is None:
            continue
        if name not in {item.name for item in fields(config.task)}:
            raise ConfigError(f"{name} with task={config.task.name}, which has no {name} to choose. Leave it out.")
        setattr(config.task, name, scorer)


def _check_goal_is_used(config: Config, lines: Sequence[str]) -> None:
    """Raise `ConfigError` if the command line sets a goal for a method that trains without goals."""
    if config.method.uses_goals:
        return
    name = config.method.name
    goals = [line for line in lines if line.lstrip("+~").startswith(("goal=", "goal.")) and line != "goal=none"]
    if goals:
        raise ConfigError(f"{goals[0]} with method={name}, which trains without goals. Leave one of them out.")
