r"""The goal spec: everything about the goal that training used, saved beside the model as `goal.json`.

Generation reads the goal from there and nowhere else, so training and inference cannot drift apart:
    {"format_version": 1, "task": "toxicity", "formulation": "threshold", "wording": "language", "levels": [0.0, 0.9],
     "sentences": ["The following text is ...", ...], "placement": "before_prompt", "separator": "\n", ...}
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError, RunError
from gcsl_cli.files import read_json, write_json

FORMAT_VERSION = 1
FILE_NAME = "goal.json"
PLACEMENTS = ("before_prompt", "after_prompt")
FORMATS = ("plain", "chat")


@dataclass(frozen=True, slots=True)
class GoalSpec:
    """The levels of a model, their sentences, and where they stand in the prompt."""

    task: str
    formulation: str
    wording: str
    levels: tuple[float, ...]
    """Ascending scores; the first is the training minimum."""
    sentences: tuple[str, ...]
    """One for each level."""
    placement: str
    separator: str
    pairing: str
    balance: str
    target: str | float
    """Asked for when a caller names none: `best`, `worst` or a score."""
    direction: str
    """What the score is, in words for people: `1 - toxicity`."""
    prompt_format: str
    """`plain` or `chat`."""
    instruction: str
    """Stands before the prompt in a chat turn; `{prompt}` is replaced."""
    training_range: tuple[float, float]
    """Lowest and highest training score."""

    def level(self, target: str | float | None = None) -> int:
        """Index of the level that `target` names: `best`, `worst`, or the highest level that a score reaches.

        Raises:
            ConfigError: the score lies outside the range of the training scores, or is no level's name.
        """
        target = self.target if target is None else target
        if target == "best":
            return len(self.levels) - 1
        if target == "worst":
            return 0
        try:
            value = float(target)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"target={target}: not a goal; ask for best, worst or a score from {self._named_levels()}."
            ) from error
        low, high = self.training_range
        if not low <= value <= high:
            raise ConfigError(
                f"target={target}: outside the training scores ({low:g} to {high:g}); a sentence names one of the "
                f"levels {self._named_levels()}."
            )
        return max(index for index, level in enumerate(self.levels) if level <= value)

    def render(self, prompt: str, level: int | None) -> str:
        """The text before the completion (`plain`) or of the user's turn (`chat`); level `None` names no goal."""
        chat = self.prompt_format == "chat"
        text = self.instruction.replace("{prompt}", prompt) if chat else prompt
        return text if level is None else place(text, self.sentences[level], self.placement, self.separator, chat)

    def save(self, folder: Path) -> None:
        """Write `goal.json` into `folder`."""
        write_json(folder / FILE_NAME, {"format_version": FORMAT_VERSION, **asdict(self)})

    def _named_levels(self) -> str:
        return ", ".join(f"{level:.3g}" for level in self.levels)


def load_spec(folder: Path) -> GoalSpec:
    """Read `goal.json` from `folder`.

    Raises:
        RunError: it is missing, of a newer format version, or edited into something that does not fit together.
    """
    path = folder / FILE_NAME
    values = read_json(path)
    version = values.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise RunError(
            f"{path}: format version {version}; this gcsl reads {FORMAT_VERSION}. Update gcsl or train again."
        )
    known = {field.name for field in fields(GoalSpec)}
    if set(values) != known:
        odd = sorted(known.symmetric_difference(values))
        raise RunError(f"{path}: key {odd[0]!r} is {'unknown' if odd[0] in values else 'missing'}. It was edited.")
    fitted: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    spec = GoalSpec(**fitted)
    try:
        problem = _misfit(spec)
    except (TypeError, ValueError, AttributeError):
        problem = "a value has the wrong type"
    if problem:
        raise RunError(f"{path}: {problem}. It was edited; train again.")
    return spec


def _misfit(spec: GoalSpec) -> str | None:
    """What does not fit together in a spec that was read, `None` if it does."""
    low, high = spec.training_range
    if len(spec.levels) != len(spec.sentences) or len(spec.levels) < 2 or any(a >= b for a, b in pairwise(spec.levels)):
        return "levels have to ascend, two at least, and each needs one sentence"
    if not all(isinstance(sentence, str) for sentence in spec.sentences):
        return "sentences have to be texts"
    if not spec.levels[0] <= low <= high < math.inf:
        return f"training_range [{low:g}, {high:g}] has to lie above the lowest level {spec.levels[0]:g}"
    if spec.placement not in PLACEMENTS or spec.prompt_format not in FORMATS:
        return f"placement is one of {', '.join(PLACEMENTS)}, prompt_format one of {', '.join(FORMATS)}"
    return None if "{prompt}" in spec.instruction else "instruction needs the placeholder {prompt}"


def place(text: str, goal: str, placement: str, separator: str, chat: bool) -> str:
    """Put the goal before or after `text`; in plain text a goal after it ends with the separator too.

    Raises:
        ConfigError: `placement` is unknown.
    """
    if placement == "before_prompt":
        return f"{goal}{separator}{text}"
    if placement == "after_prompt":
        return f"{text}{separator}{goal}" + ("" if chat else separator)
    raise ConfigError(f"goal.placement={placement}: unknown; one of {', '.join(PLACEMENTS)}.")


def pick_sentences(sentences: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` sentences spread evenly over `sentences`, which stand worst first; the first and the last are kept.

    Raises:
        ConfigError: there are fewer sentences than levels.
    """
    if len(sentences) < count:
        raise ConfigError(
            f"There are {count} levels and {len(sentences)} sentences. Give one sentence a level, worst first "
            "(goal.sentences), or fewer levels (goal.levels)."
        )
    last = len(sentences) - 1
    return tuple(sentences[round(index * last / (count - 1))] for index in range(count))
