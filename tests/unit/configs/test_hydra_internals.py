"""The private parts of Hydra and OmegaConf that gcsl uses are where it expects them.

A failure after an update means that Hydra or OmegaConf moved something: adapt `gcsl_cli/configs/hydra_internals.py`.
"""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from gcsl_cli.configs import hydra_internals
from gcsl_cli.configs.schema import Config
from gcsl_cli.configs.search_path import conf_dir, config_loader


def test_the_loader_searches_the_users_folder_between_ours_and_the_schema(tmp_path: Path) -> None:
    path = config_loader(tmp_path).get_search_path().get_path()
    assert [entry.provider for entry in path] == ["hydra", "main", "command-line", "schema"]
    assert [entry.path for entry in path[1:3]] == [str(conf_dir()), f"file://{tmp_path}"]


def test_an_override_is_applied_in_place() -> None:
    config = OmegaConf.create({"a": {"b": 1}})
    hydra_internals.apply_override(OverridesParser.create().parse_overrides(["a.b=2"])[0], config)
    assert config == {"a": {"b": 2}}


def test_combinations_are_those_of_the_default_sweeper() -> None:
    from hydra.core.config_store import ConfigStore

    overrides = OverridesParser.create().parse_overrides(["a=1,2", "b=3", "c=x,y"])
    assert hydra_internals.combinations(overrides) == [
        ["a=1", "b=3", "c=x"],
        ["a=1", "b=3", "c=y"],
        ["a=2", "b=3", "c=x"],
        ["a=2", "b=3", "c=y"],
    ]
    basic = ConfigStore.instance().load("hydra/sweeper/basic.yaml").node
    assert basic._target_ == hydra_internals.BASIC_SWEEPER


@pytest.mark.parametrize("value", [None, "???", "${other}"])
def test_containers_without_keys_are_empty(value: str | None) -> None:
    config = OmegaConf.create({"node": {}, "other": {"a": 1}})
    config._get_node("node")._set_value(value)  # type: ignore[union-attr]
    assert hydra_internals.is_empty(hydra_internals.child(config, "node"))
    assert not hydra_internals.is_empty(hydra_internals.child(config, "other"))


def test_a_child_is_not_resolved() -> None:
    config = OmegaConf.create({"a": "${b}", "b": 1, "c": "???"})
    assert hydra_internals.child(config, "a")._value() == "${b}"
    assert hydra_internals.child(config, "c")._value() == "???"


def test_declared_types_come_from_the_schema() -> None:
    config = OmegaConf.structured(Config)
    assert hydra_internals.declared_type(config, "seed") is int
    assert hydra_internals.declared_type(config, "run") == (str | None)
