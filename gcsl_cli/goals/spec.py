r"""The goal spec: everything about the goal that training used, saved beside the model as `goal.json`.

Generation reads the goal from there and nowhere else, so training and inference cannot drift apart:
    {"format_version": 2, "task": "toxicity", "formulation": "threshold", "wording": "language", "levels": [0.0, 0.9],
     "texts": ["The following text is ...", ...], "placement": "before_prompt", "separator": "\n", ..., "checksum": ...}
A goal is a number on the scale of the levels (`float`), or `None` where nothing is asked for.
"""

import hashlib
import json
import math
from bisect import bisect
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError, RunError
from gcsl_cli.goals.scale import Scale, name, names
from gcsl_cli.goals.wording import fill_template
from gcsl_cli.runs.files import read_json, write_json

FORMAT_VERSION = 2
FILE_NAME = "goal.json"
PLAIN_PLACEMENTS = ("before_prompt", "after_prompt")
PLACEMENTS = (*PLAIN_PLACEMENTS, "system", "assistant_prefix", "role")
FORMATS = ("plain", "chat", "messages")


@dataclass(frozen=True, slots=True)
class GoalSpec:
    """What can be asked of a model, in which words, and where they stand in the prompt."""

    task: str
    formulation: str
    wording: str
    level_rule: str
    per: str
    """`dataset`: levels are scores; `prompt`: they are quantiles of the scores of each prompt."""
    levels: tuple[float, ...]
    """Ascending; the first is reached by every training row. Empty for raw scores and where there is no goal."""
    texts: tuple[str, ...]
    """What stands in the prompt, one for each level."""
    template: str
    """What raw scores are put into; empty for levels."""
    words: tuple[str, ...]
    """What the control tokens of each level mean, whose embeddings start from theirs. Empty for other wordings."""
    weights: tuple[float, ...]
    """Loss weight of each level; empty where all count alike."""
    placement: str
    separator: str
    pairing: str
    balance: str
    dropout: float
    """Share of training rows without a goal."""
    target: str | float
    """Asked for when a caller names none: `best`, `worst` or a grade."""
    scale: Scale
    prompt_format: str
    """`plain`, `chat` (a prompt is the user's turn) or `messages` (it is a conversation, as JSON)."""
    instruction: str
    """Stands around the prompt in a chat turn; `{prompt}` is replaced."""
    training_range: tuple[float, float]
    """Lowest and highest training score."""

    @property
    def has_goal(self) -> bool:
        """Whether anything can be asked for."""
        return self.level_rule != "none"

    @property
    def best(self) -> float:
        """The highest goal that a training row reached."""
        return self.levels[-1] if self.levels else self.training_range[1]

    @property
    def worst(self) -> float:
        """The lowest goal."""
        return self.levels[0] if self.levels else self.training_range[0]

    def goal(self, target: str | float | None = None) -> float:
        """The goal that `target` names: `best`, `worst`, a level (as people grade), or any number for raw scores.

        Raises:
            ConfigError: the model has no such level, or no goal at all.
        """
        if not self.has_goal:
            raise ConfigError(f"target={target}: this model was trained without goals; there is nothing to ask for.")
        target = self.target if target is None else target
        if target == "best":
            return self.best
        if target == "worst":
            return self.worst
        try:
            value = float(target)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"target={target}: not a goal; ask for best, worst or {self._allowed()}.") from error
        if not math.isfinite(value):
            raise ConfigError(f"target={target}: not a finite number; ask for best, worst or {self._allowed()}.")
        scale = self.scale
        if scale.closed and self.per == "dataset" and not scale.low <= value <= scale.high:
            raise ConfigError(
                f"target={target}: the scale of {scale.name} ends at {name(scale.low)} and {name(scale.high)}. Ask for "
                "best, worst or a value between them."
            )
        if not self.levels:
            return self.scale.score(value)
        for level, short in zip(self.levels, self.labels, strict=True):
            if value in (self.shown(level), float(short)):
                return level
        raise ConfigError(
            f"target={target}: no level of this model. The nearest: {self._nearest(value)}; all: best, worst, "
            f"{self._allowed()}."
        )

    def shown(self, goal: float) -> float:
        """The goal as people grade; a quantile stays one."""
        return goal if self.per == "prompt" else self.scale.grade(goal)

    @property
    def labels(self) -> tuple[str, ...]:
        """A short number for each level, as people grade."""
        return names([self.shown(level) for level in self.levels])

    def label(self, goal: float) -> str:
        """`best`, `worst`, or a short number."""
        if self.levels:
            ends = {self.worst: "worst", self.best: "best"}
            return ends.get(goal) or self.labels[self._index(goal)]
        return name(self.scale.grade(goal))

    def display(self, goal: float) -> str:
        """The goal as tables and plots show it: rounded to the scale, or `lowest`.

        The lowest level is the training minimum, so its digits mean nothing unless it is a round number such as 1 star.
        """
        grades = [self.shown(level) for level in self.levels or (goal,)]
        rounded = grades if self.per == "prompt" else [self.scale.rounded(grade) for grade in grades]
        index = self._index(goal) if self.levels else 0
        if goal == self.worst and rounded[index] != grades[index]:
            return "lowest"
        return names(rounded if len(set(rounded)) == len(grades) else grades)[index]

    def text(self, goal: float) -> str:
        """The goal in the words of the prompt."""
        if self.levels:
            return self.texts[self._index(goal)]
        return fill_template(self.template, [self.scale.grade(goal)], self.scale)[0]

    def meaning(self, goal: float) -> str:
        """The goal in words for people: what a control token stands for."""
        return self.words[self._index(goal)] if self.words else self.text(goal)

    def weight(self, goal: float | None) -> float:
        """How much a training row under this goal counts in the loss."""
        return self.weights[self._index(goal)] if self.weights and goal is not None else 1.0

    def render(self, prompt: str, goal: float | None) -> str:
        """The text before the completion in plain format."""
        if goal is None:
            return prompt
        text = self.text(goal)
        if self.placement == "before_prompt":
            return f"{text}{self.separator}{prompt}"
        return f"{prompt}{self.separator}{text}{self.separator}"

    def save(self, folder: Path) -> None:
        """Write `goal.json` into `folder`."""
        values = {"format_version": FORMAT_VERSION, **asdict(self)}
        write_json(folder / FILE_NAME, {**values, "checksum": _checksum(values)})

    def _index(self, goal: float) -> int:
        return bisect(self.levels, goal) - 1

    def _allowed(self) -> str:
        return ", ".join(self.labels) if self.levels else f"a number, like {name(self.scale.grade(self.best))}"

    def _nearest(self, value: float) -> str:
        near = sorted(zip(self.levels, self.labels, strict=True), key=lambda pair: abs(self.shown(pair[0]) - value))
        return " and ".join(short for _, short in near[:2])


def no_goal_spec(
    task: str,
    prompt_format: str,
    instruction: str,
    scale: Scale = Scale("", 0.0, 0.0),  # noqa: B008
    training_range: tuple[float, float] = (0.0, 0.0),
) -> GoalSpec:
    """A spec that only says how prompts of a task are formatted; it has no goal to ask for."""
    return GoalSpec(
        task=task,
        formulation="none",
        wording="none",
        level_rule="none",
        per="dataset",
        levels=(),
        texts=(),
        template="",
        words=(),
        weights=(),
        placement="before_prompt",
        separator="",
        pairing="none",
        balance="none",
        dropout=0.0,
        target="best",
        scale=scale,
        prompt_format=prompt_format,
        instruction=instruction,
        training_range=training_range,
    )


def load_spec(folder: Path) -> GoalSpec:
    """Read `goal.json` from `folder`.

    Raises:
        RunError: it is missing, of another format version, or was edited.
    """
    path = folder / FILE_NAME
    values = read_json(path)
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        fix = "Update gcsl" if newer else "Train again, or use the gcsl that made it"
        raise RunError(f"{path}: format version {version}; this gcsl reads {FORMAT_VERSION}. {fix}.")
    checksum = values.pop("checksum", None)
    known = {"format_version", *(field.name for field in fields(GoalSpec))}
    odd = sorted(known.symmetric_difference(values))
    if odd or checksum != _checksum(values):
        what = f"key {odd[0]!r} is {'unknown' if odd[0] in values else 'missing'}" if odd else "its checksum is another"
        raise RunError(
            f"{path}: {what}. It was edited: the model knows the goals that it was trained on. Train again, or ask for "
            "another goal with generation.target."
        )
    del values["format_version"]
    scale = Scale(**values.pop("scale"))
    fitted: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return GoalSpec(scale=scale, **fitted)


def _checksum(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
