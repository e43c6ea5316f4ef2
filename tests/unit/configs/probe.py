"""A small task for tests of configs, and helpers that compose with it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gcsl_cli import configs
from gcsl_cli.errors import ConfigError


@dataclass
class Scorer:
    name: str = "one"
    cut: float = 0.5
    texts_sha256: str | None = None


@dataclass
class Feedback:
    samples: int = 4
    path: str | None = None
    seed: int = 0


@dataclass
class ProbeTask:
    name: str = "probe"
    levels: list[float] = field(default_factory=list)
    feedback_from: Feedback = field(default_factory=Feedback)
    scorer: Scorer = field(default_factory=Scorer)
    columns: dict[str, str] = field(default_factory=dict)


PROBE = """
_target_: gcsl_cli.tasks.probe.ProbeTask
levels: [0.25, 0.5]
feedback_from: {samples: 2}
scorer: {_target_: gcsl_cli.tasks.probe.Scorer, cut: 0.25}
"""


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refused(folder: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        configs.load(["task=probe", *overrides], folder)
    assert error.value.exit_code == 2
    return str(error.value)
