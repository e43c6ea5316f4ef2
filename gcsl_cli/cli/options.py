"""Options of a stage command, beside its overrides, and the answer to one that does not exist."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed

CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass(frozen=True, slots=True)
class Options:
    """The options as typed."""

    multirun: bool = False
    cfg: str | None = None
    resolve: bool = False
    package: str | None = None
    info: str | None = None
    config_dir: Path | None = None
    json: bool = False
    hydra_help: bool = False

    @property
    def only_shows(self) -> bool:
        """Whether Hydra prints something instead of running a job."""
        return self.cfg is not None or self.info is not None or self.hydra_help

    def arguments(self) -> list[str]:
        """The same options for Hydra's command line."""
        valued = {"--cfg": self.cfg, "--info": self.info, "--package": self.package}
        flags = {"--multirun": self.multirun, "--resolve": self.resolve, "--hydra-help": self.hydra_help}
        given = [part for name, value in valued.items() if value is not None for part in (name, value)]
        given += [name for name, is_set in flags.items() if is_set]
        return given + (["--config-dir", str(self.config_dir)] if self.config_dir else [])

    def check(self) -> None:
        """Check the options' values and that they go together.

        Raises:
            ConfigError: a value or a pair of options that cannot be used.
        """
        for name, value, allowed in (("--cfg", self.cfg, CFG), ("--info", self.info, INFO)):
            if value is not None and value not in allowed:
                raise ConfigError(f"{name} {value}: expected {listed(allowed)}.{did_you_mean(value, allowed)}")
        shows = [name for name, value in (("--cfg", self.cfg), ("--info", self.info)) if value is not None]
        shows += ["--hydra-help"] if self.hydra_help else []
        clash = [
            *shows,
            *(["--multirun"] if self.multirun and shows else []),
            *(["--json"] if self.json and shows else []),
        ]
        if len(clash) > 1:
            raise ConfigError(f"{' and '.join(clash)} do not go together. Leave one out.")
        if (self.resolve or self.package is not None) and self.cfg is None:
            name = "--resolve" if self.resolve else "--package"
            raise ConfigError(f"{name} belongs to --cfg. Add --cfg job, or leave it out.")


def refuse_unknown(arguments: Sequence[str], context: Any) -> list[str]:
    """The override lines among a command's unparsed arguments.

    Raises:
        ConfigError: an option that does not exist, with the nearest that does.
    """
    for argument in arguments:
        if argument.startswith("-"):
            known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
            typed = argument.split("=", 1)[0]
            near = did_you_mean(typed, [*known, "--help"])
            raise ConfigError(f"{argument}: no such option.{near or f' Options: {listed(known)}.'}")
    return list(arguments)
