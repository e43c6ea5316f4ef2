"""Options of a stage command: check them, pass them on to Hydra, reject unknown ones."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    from omegaconf import DictConfig

CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one command line."""

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
        """True if Hydra only prints something and runs no job."""
        return self.cfg is not None or self.info is not None or self.hydra_help

    def arguments(self) -> list[str]:
        """Return the options for Hydra's command line."""
        valued = {"--cfg": self.cfg, "--info": self.info, "--package": self.package}
        flags = {"--multirun": self.multirun, "--resolve": self.resolve, "--hydra-help": self.hydra_help}
        arguments = [part for name, value in valued.items() if value is not None for part in (name, value)]
        arguments += [name for name, is_set in flags.items() if is_set]
        return arguments + (["--config-dir", str(self.config_dir)] if self.config_dir else [])

    def check(self) -> None:
        """Raise `ConfigError` for an invalid value, and for options that exclude each other."""
        for name, value, allowed in (("--cfg", self.cfg, CFG), ("--info", self.info, INFO)):
            if value is not None and value not in allowed:
                raise ConfigError(f"{name} {value}: expected {listed(allowed)}.{did_you_mean(value, allowed)}")
        shows = {"--cfg": self.cfg is not None, "--info": self.info is not None, "--hydra-help": self.hydra_help}
        others = {"--multirun": self.multirun, "--json": self.json} if self.only_shows else {}
        clash = [name for name, is_set in (shows | others).items() if is_set]
        if len(clash) > 1:
            raise ConfigError(f"{' and '.join(clash)} cannot be combined. Drop one of them.")
        if (self.resolve or self.package is not None) and self.cfg is None:
            name = "--resolve" if self.resolve else "--package"
            raise ConfigError(f"{name} only works with --cfg. Add --cfg job, or drop {name}.")

    def check_package(self, config: "DictConfig") -> None:
        """Raise `ConfigError` unless `--package` names a node of the config that `--cfg` shows."""
        if self.package is None or self.package == "_global_":
            return
        from omegaconf import OmegaConf

        from gcsl_cli.configs import config_errors

        names = {str(key) for key in config}
        shown = {"job": names - {"hydra"}, "hydra": {"hydra"}, "all": names}[str(self.cfg)]
        with config_errors():
            node = OmegaConf.select(config, self.package)
        if self.package.partition(".")[0] not in shown or node is None:
            raise ConfigError(f"--package {self.package}: not a node with a value. Nodes: {listed(sorted(shown))}.")


def refuse_unknown(arguments: Sequence[str], context: Any) -> list[str]:
    """Return a command's unparsed arguments; for an option among them, `ConfigError` suggests a known one."""
    for argument in arguments:
        if argument.startswith("-"):
            known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
            typed = argument.split("=", 1)[0]
            near = did_you_mean(typed, [*known, "--help"])
            raise ConfigError(f"{argument}: no such option.{near or f' Options: {listed(known)}.'}")
    return list(arguments)


def check_unicode(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for an argument that is not UTF-8, which no run or JSON document could hold."""
    for argument in arguments:
        if not argument.isascii() and argument != argument.encode(errors="ignore").decode():
            shown = os.fsencode(argument).decode(errors="backslashreplace")
            raise ConfigError(f"{shown}: not valid UTF-8. If it is the name of a file or folder, rename that.")
