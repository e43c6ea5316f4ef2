"""Where the configs are: the shipped folder, the user's own, and Hydra's search path over both."""

from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError

ROOT_CONFIG = "config"


def conf_dir() -> Path:
    """The shipped config folder: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def group_options(folder: Path) -> dict[str, list[str]]:
    """The groups of a folder and their options, sorted: `{"goal": ["threshold"], ...}`. Reads names only.

    A group is a folder at the top; an option in a folder of its own is `paper/toxicity`. Hydra's groups lie deeper.
    """
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        parts = path.relative_to(folder).with_suffix("").parts
        depth = 2 if parts[0] == "hydra" else 1
        if len(parts) > depth:
            groups.setdefault("/".join(parts[:depth]), []).append("/".join(parts[depth:]))
    return groups


def config_loader(config_dir: Path | None) -> Any:
    """Hydra's loader over our folder, then the user's, in the order that `--config-dir` gives them.

    Raises:
        ConfigError: `config_dir` is no folder.
    """
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.utils import setup_globals

    version.setbase("1.3")
    register_schema()
    setup_globals()
    search_path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ConfigError(f"--config-dir {config_dir}: no such folder. Name a folder that holds groups as folders.")
        search_path.prepend(
            provider="command-line",
            path=f"file://{config_dir.absolute()}",
            anchor=SearchPathQuery(provider="schema"),
        )
    return ConfigLoaderImpl(search_path)


def register_schema() -> None:
    """Make the dataclass schema known to Hydra as `schema`, the first entry of the defaults list."""
    from hydra.core.config_store import ConfigStore

    from gcsl_cli.configs.schema import Config

    ConfigStore.instance().store(name="schema", node=Config)


def all_groups(config_dir: Path | None) -> dict[str, list[str]]:
    """The groups of the shipped folder and the user's together (Hydra's own listing takes ten times as long)."""
    groups = group_options(conf_dir())
    for group, options in (group_options(config_dir) if config_dir is not None else {}).items():
        groups[group] = sorted({*groups.get(group, []), *options})
    return dict(sorted(groups.items()))
