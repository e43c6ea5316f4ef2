"""Where configs come from: the shipped folder, the user's folder, and Hydra's search path over both."""

from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError

ROOT_CONFIG = "config"


def conf_dir() -> Path:
    """Return the shipped config folder: inside the package if installed, next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def group_options(folder: Path) -> dict[str, list[str]]:
    """Return the groups of a folder and their options, sorted, from file names only: `{"goal": ["threshold"], ...}`.

    A top-level folder is a group; an option in a subfolder has a name like `paper/toxicity`. Hydra's own groups are one
    level deeper (`hydra/launcher`).
    """
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        if not path.is_file():
            continue
        parts = path.relative_to(folder).with_suffix("").parts
        depth = 2 if parts[0] == "hydra" else 1
        if len(parts) > depth:
            groups.setdefault("/".join(parts[:depth]), []).append("/".join(parts[depth:]))
    return groups


def all_groups(config_dir: Path | None) -> dict[str, list[str]]:
    """Return the groups of the shipped and the user's folder together. Hydra's own listing takes ten times as long."""
    groups = group_options(conf_dir())
    for group, options in (group_options(config_dir) if config_dir is not None else {}).items():
        groups[group] = sorted({*groups.get(group, []), *options})
    return dict(sorted(groups.items()))


def register_schema() -> None:
    """Register the dataclass schema with Hydra as `schema`, the first entry of the defaults list."""
    from hydra.core.config_store import ConfigStore

    from gcsl_cli.configs.schema import Config

    ConfigStore.instance().store(name="schema", node=Config)


def config_loader(config_dir: Path | None) -> Any:
    """Return Hydra's config loader over the shipped folder and the user's; `ConfigError` if the latter is no folder."""
    from hydra import version
    from hydra.core.utils import setup_globals

    from gcsl_cli.configs import hydra_internals

    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(
            f"--config-dir {config_dir}: no such folder. Name a folder that contains one sub-folder per group."
        )
    version.setbase("1.3")
    register_schema()
    setup_globals()
    return hydra_internals.loader(conf_dir(), config_dir)
