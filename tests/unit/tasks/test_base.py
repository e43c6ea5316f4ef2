"""Invalid rollout settings are refused before a model is loaded."""

from typing import Any

import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.base import RolloutSettings

FINE: dict[str, Any] = {
    "samples": 1,
    "max_new_tokens": 1,
    "temperature": 0.1,
    "top_p": 1.0,
    "batch_size": 1,
    "shard_prompts": 1,
    "seed": 0,
}


def test_the_smallest_settings_are_valid() -> None:
    assert RolloutSettings.of(RolloutSettings(**FINE)).samples == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samples", 0),
        ("max_new_tokens", 0),
        ("temperature", 0.0),
        ("temperature", float("inf")),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("batch_size", 0),
        ("shard_prompts", -1),
        ("seed", -1),
    ],
)
def test_invalid_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"task\.feedback\.{name}={value}: out of range"):
        RolloutSettings.of(RolloutSettings(**FINE | {name: value}))
