"""The base class of tasks, and rollout settings that are refused before a model is loaded."""

from dataclasses import dataclass
from typing import Any

import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.base import RolloutSettings, Task
from gcsl_cli.tasks.toxicity import FeedbackConfig, ToxicityTask

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
    with pytest.raises(ConfigError, match=rf"task\.feedback\.{name}={value}: must be"):
        RolloutSettings.of(RolloutSettings(**FINE | {name: value}))


def test_settings_are_extracted_from_a_config_with_more_keys() -> None:
    """The result has exactly the sampling fields, so that other keys do not reach the sampler."""
    settings = RolloutSettings.of(FeedbackConfig(**FINE, source="rollouts", prompts=3))

    assert settings == RolloutSettings(**FINE)


@pytest.mark.parametrize("prompts", [0, -2])
def test_no_prompts_to_sample_are_refused(prompts: int) -> None:
    with pytest.raises(ConfigError, match=rf"task\.feedback\.prompts={prompts}: must be"):
        RolloutSettings.of(FeedbackConfig(**FINE, prompts=prompts))


def test_a_task_must_say_where_its_feedback_comes_from() -> None:
    @dataclass
    class Unfinished(Task):
        name: str = "unfinished"

    with pytest.raises(TypeError, match="feedback_keys"):
        Unfinished()  # type: ignore[abstract]


def test_a_task_inherits_defaults() -> None:
    task = ToxicityTask(version=3)

    assert (task.format, task.instruction, task.levels, task.prompt_format()) == ("plain", "{prompt}", [], "plain")
    assert Task.evaluation_keys(task) == {"version": 3}
    assert Task.rollouts_planned(task) == 0
    assert (Task.metrics(task, [], []), Task.result_columns(task), Task.overview(task)) == ({}, [], [])
