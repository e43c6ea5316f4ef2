"""The Python interface without running a stage: lazy imports, composing, Hydra's global state."""

import subprocess
import sys
from pathlib import Path

import pytest

import gcsl_cli
from gcsl_cli import compose
from gcsl_cli.configs import load
from gcsl_cli.errors import ConfigError


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Neither does naming a function; composing needs Hydra, but no torch."""
    program = """
import sys
heavy = ("hydra", "omegaconf", "numpy", "torch", "typer", "gcsl_cli.configs")
import gcsl_cli
assert "gcsl_cli.stages.api" not in sys.modules
from gcsl_cli import compose, train
print([name for name in heavy if name in sys.modules])
compose("seed=1")
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_every_public_name_is_there() -> None:
    for name in gcsl_cli.__all__:
        assert getattr(gcsl_cli, name) is not None
        assert name in dir(gcsl_cli)
    with pytest.raises(AttributeError, match="has no attribute 'tune'"):
        _ = gcsl_cli.tune


def test_compose_is_the_command_line() -> None:
    overrides = ["task=toxicity", "goal=exact", "train.learning_rate=1e-4", "goal.sentences=[Rude:,Kind:]"]

    assert compose(*overrides) == load(overrides)
    assert compose(*overrides).goal.sentences == ["Rude:", "Kind:"]


def test_compose_takes_a_folder_of_groups(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/short.yaml").write_text("# @package _global_\ntrain:\n  max_steps: 3\n", encoding="utf-8")

    assert compose("experiment=short", config_dir=str(tmp_path)).train.max_steps == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [("train.lerning_rate=1", "Did you mean train.learning_rate"), ("seed=0,1", "multirun"), ("task=toxic", "no such")],
)
def test_a_mistake_is_a_config_error(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(override)


def test_hydra_is_left_as_it_was() -> None:
    """A notebook may use Hydra itself, with another version base and a `schema` of its own in the config store."""
    from hydra import version
    from hydra.core.config_store import ConfigStore

    before = version.getbase()
    store = ConfigStore.instance()
    entries = dict(store.repo)
    try:
        version.setbase("1.2")
        store.store(name="schema", node={"mine": 1})
        mine = dict(store.repo)
        compose("seed=1")
        with pytest.raises(ConfigError):
            compose("seed=")

        assert str(version.getbase()) == "1.2"
        assert store.repo == mine
    finally:
        version.VersionBase.instance().version_base = before
        store.repo.clear()
        store.repo.update(entries)
