"""The goal spec: levels, wording and placement of the goal, which travel with the model (`spec_file.py`).

A goal is a `float` on the scale of the levels, or `None` for a prompt without a goal.
"""

import math
from bisect import bisect
from dataclasses import dataclass
from typing import Any

import numpy as np

from gcsl_cli.data.arrays import Floats
from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.scale import Scale, short_number, short_numbers
from gcsl_cli.goals.wording import fill_template

PLAIN_PLACEMENTS = ("before_prompt", "after_prompt")
FORMATS = ("plain", "chat", "messages")


@dataclass(frozen=True, slots=True)
class GoalSpec:
    """The goals of a model, their wording, and their placement in the prompt."""

    task: str
    formulation: str
    wording: str
    level_rule: str
    per: str
    """`dataset`: levels are scores; `prompt`: they are quantiles among the scores of each prompt."""
    levels: tuple[float, ...]
    """Ascending; every training row reaches the first. Empty for raw scores and for training without goals."""
    texts: tuple[str, ...]
    """Goal text of each level in the prompt."""
    template: str
    """Template for raw scores; empty for levels."""
    words: tuple[str, ...]
    """Words behind the control tokens of each level, used to initialize their embeddings. Empty for other wordings."""
    weights: tuple[float, ...]
    """Loss weight of each level; empty if all are equal."""
    placement: str
    separator: str
    pairing: str
    balance: str
    dropout: float
    """Fraction of training rows without a goal."""
    target: str | float
    """Default target: `best`, `worst` or a grade."""
    scale: Scale
    prompt_format: str
    """`plain`, `chat` (the prompt is a user turn) or `messages` (the prompt is a conversation in JSON)."""
    instruction: str
    """Template of the user turn in a chat, with `{prompt}` for the prompt."""
    training_range: tuple[float, float]
    """Lowest and highest training score."""

    @property
    def has_goal(self) -> bool:
        """True unless the model was trained without goals."""
        return self.level_rule != "none"

    @property
    def best(self) -> float:
        """The highest goal that any training row reached."""
        return self.levels[-1] if self.levels else self.training_range[1]

    @property
    def worst(self) -> float:
        """The lowest goal."""
        return self.levels[0] if self.levels else self.training_range[0]

    @property
    def long_goals(self) -> list[float]:
        """Goals among which is the one with the most tokens."""
        return list(self.levels) or [self.best, self.worst]

    def goal(self, target: str | float | None = None) -> float:
        """Resolve a target to a goal: `best`, `worst`, the grade of a level, or any number for raw scores.

        Raises:
            ConfigError: the model has no such level, or no goals at all.
        """
        if not self.has_goal:
            raise ConfigError(f"target={target}: this model was trained without goals, so it takes no target.")
        target = self.target if target is None else target
        if target == "best":
            return self.best
        if target == "worst":
            return self.worst
        try:
            value = float(target)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"target={target}: not a goal; use best, worst or {self._allowed()}.") from error
        if not math.isfinite(value):
            raise ConfigError(f"target={target}: not a finite number; use best, worst or {self._allowed()}.")
        scale = self.scale
        if scale.closed and self.per == "dataset" and not scale.low <= value <= scale.high:
            raise ConfigError(
                f"target={target}: the scale of {scale.name} runs from {short_number(scale.low)} to "
                f"{short_number(scale.high)}. Use best, worst or a value in that range."
            )
        if not self.levels:
            return self.scale.score(value)
        for level, short in zip(self.levels, self.labels, strict=True):
            if value in (self.grade(level), float(short)):
                return level
        raise ConfigError(
            f"target={target}: not a level of this model. Nearest: {self._nearest(value)}; all: best, worst, "
            f"{self._allowed()}."
        )

    def grade(self, goal: float) -> float:
        """Convert a goal to a grade; quantiles stay as they are."""
        return goal if self.per == "prompt" else self.scale.grade(goal)

    @property
    def labels(self) -> tuple[str, ...]:
        """The grade of each level as a short number."""
        return short_numbers([self.grade(level) for level in self.levels])

    def label(self, goal: float) -> str:
        """Label a goal: `best`, `worst`, or a short number."""
        if self.levels:
            ends = {self.worst: "worst", self.best: "best"}
            return ends.get(goal) or self.labels[self._index(goal)]
        return short_number(self.scale.grade(goal))

    def display(self, goal: float) -> str:
        """The goal as tables and plots show it: rounded to the scale, or `lowest`.

        The lowest level is the training minimum, so its digits mean nothing unless it is a round number such as 1 star.
        """
        grades = [self.grade(level) for level in self.levels or (goal,)]
        rounded = grades if self.per == "prompt" else [self.scale.rounded(grade) for grade in grades]
        index = self._index(goal) if self.levels else 0
        if goal == self.worst and rounded[index] != grades[index]:
            return "lowest"
        return short_numbers(rounded if len(set(rounded)) == len(grades) else grades)[index]

    def text(self, goal: float) -> str:
        """Render the goal as it appears in the prompt."""
        if self.levels:
            return self.texts[self._index(goal)]
        return fill_template(self.template, [self.scale.grade(goal)], self.scale)[0]

    def meaning(self, goal: float) -> str:
        """Describe the goal for readers: the words behind a control token, otherwise its text."""
        return self.words[self._index(goal)] if self.words else self.text(goal)

    def named_goals(self) -> list[tuple[str, str]]:
        """Label and meaning of the goals that can be asked for, worst first; of raw scores, the two ends."""
        goals = self.levels or ((self.worst, self.best) if self.has_goal else ())
        names = ("worst", "best") if self.has_goal and not self.levels else map(self.label, goals)
        return [(name, self.meaning(goal)) for name, goal in zip(names, goals, strict=True)]

    def weights_of(self, goals: Floats) -> Floats:
        """Loss weight of a row under each of `goals`, which are NaN without a goal; both `(rows,)`."""
        if not self.weights:
            return np.ones(len(goals))
        return np.array([1.0 if math.isnan(goal) else self.weights[self._index(goal)] for goal in goals.tolist()])

    def render(self, prompt: str, goal: float | None) -> str:
        """Render the text before the completion in plain format."""
        if goal is None:
            return prompt
        text = self.text(goal)
        if self.placement == "before_prompt":
            return f"{text}{self.separator}{prompt}"
        return f"{prompt}{self.separator}{text}{self.separator}"

    def asked(self, goal: float) -> Any:
        """The goal as the chat template's argument `goal` takes it: its grade."""
        return self.grade(goal)

    def against(self, goal: float, target: str | float) -> float:  # noqa: ARG002
        """The goal that guidance steers a request for `goal` away from."""
        return self.goal(target)

    def unseen(self, goal: float) -> str | None:  # noqa: ARG002
        """What to warn of before a goal is asked for; `None` if there is nothing."""
        return None

    def _index(self, goal: float) -> int:
        return bisect(self.levels, goal) - 1

    def _allowed(self) -> str:
        return ", ".join(self.labels) if self.levels else f"a number such as {self.label(self.best)}"

    def _nearest(self, value: float) -> str:
        nearest = sorted(zip(self.levels, self.labels, strict=True), key=lambda pair: abs(self.grade(pair[0]) - value))
        return " and ".join(label for _, label in nearest[:2])


def no_goal_spec(
    task: str,
    prompt_format: str,
    instruction: str,
    scale: Scale = Scale("", 0.0, 0.0),  # noqa: B008
    training_range: tuple[float, float] = (0.0, 0.0),
) -> GoalSpec:
    """Return a spec without goals; it only records how prompts of the task are formatted."""
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
