"""Wordings: what each level is called in the prompt.

language   "Give a response whose quality is at least 4 on a scale from 1 to 5.", or a sentence of the task
token      <|goal_3|>, or <|goal_3_0|><|goal_3_1|> where a level has two
number     4
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.goals.scale import Scale, names

RAW = "{level:.2f}"
_LANGUAGE = {
    ("threshold", "dataset"): "Give a response whose {name} is at RELATION {level} on a scale from {low} to {high}.",
    ("exact", "dataset"): "Give a response whose {name} is {level} on a scale from {low} to {high}.",
    ("threshold", "prompt"): "Give a response whose {name} beats at least {percent}% of the other responses.",
    ("exact", "prompt"): "Give a response whose {name} beats {percent}% of the other responses.",
}
_LEVELS = ("level", "index", "percent")
_KNOWN = (*_LEVELS, "low", "high", "name")


@dataclass(frozen=True, slots=True)
class _Number:
    """A number in a template: its short name, or formatted as the template says."""

    value: float
    short: str

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else self.short


def goal_texts(wording: str, phrases: Sequence[str], tokens: int = 1) -> tuple[str, ...]:
    """What stands in the prompt for each level: its phrase, or `tokens` control tokens in its place."""
    if wording != "token":
        return tuple(phrases)
    if tokens == 1:
        return tuple(f"<|goal_{index}|>" for index in range(len(phrases)))
    return tuple("".join(f"<|goal_{index}_{place}|>" for place in range(tokens)) for index in range(len(phrases)))


def control_tokens(text: str) -> list[str]:
    """The control tokens that a level's text is made of."""
    return re.findall(r"<\|goal_[0-9_]+\|>", text)


def default_template(wording: str, formulation: str, per: str, rule: str, scale: Scale) -> str:
    """What a goal says where neither the task nor the config has words for it."""
    if wording == "number":
        return RAW if rule == "raw" else "{level}"
    relation = "most" if scale.lower_is_better else "least"
    return _LANGUAGE[formulation, per].replace("RELATION", relation)


def check_template(template: str, per: str, rule: str) -> None:
    """Refuse a template that cannot name levels.

    Raises:
        ConfigError: no placeholder says which level it is, one is unknown, or its format is wrong.
    """
    shown = f"goal.template={template!r}"
    allowed = ["level", "low", "high", "name"]
    allowed += [] if rule == "raw" else ["index"]
    allowed += ["percent"] if per == "prompt" else []
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"{shown}: {error}. Write {{{{ and }}}} for braces that are meant as they are.") from error
    used = [field for _, field, _, _ in parts if field is not None]
    for field in used:
        if field not in allowed:
            reason = "not to be had with these levels" if field in _KNOWN else "no such placeholder"
            raise ConfigError(
                f"{shown}: {{{field}}}: {reason}.{did_you_mean(field, allowed)} Placeholders: {listed(allowed)}."
            )
    if not any(field in _LEVELS for field in used):
        raise ConfigError(f"{shown}: no placeholder says which level it is. Put {{level}} where the number belongs.")
    for _, named, form, conversion in parts:
        if rule == "raw" and named == "level" and not form:
            raise ConfigError(f"{shown}: raw scores need a number of digits: {{level:.2f}}, for instance.")
        if conversion:
            raise ConfigError(f"{shown}: {{{named}!{conversion}}}: leave out the !{conversion}.")


def scale_values(scale: Scale) -> dict[str, Any]:
    """The placeholders that are the same for every level."""
    low, high = names([scale.low, scale.high])
    return {"low": _Number(scale.low, low), "high": _Number(scale.high, high), "name": scale.name}


def fill_template(template: str, grades: Sequence[float], scale: Scale) -> tuple[str, ...]:
    """The template once for each grade (or quantile), in their order.

    Raises:
        ConfigError: a format cannot be applied to its value.
    """
    percents = names([100 * grade for grade in grades])
    try:
        return tuple(
            template.format(
                level=_Number(grade, short),
                index=index,
                percent=_Number(100 * grade, percent),
                **scale_values(scale),
            )
            for index, (grade, short, percent) in enumerate(zip(grades, names(grades), percents, strict=True))
        )
    except (ValueError, IndexError) as error:
        raise ConfigError(
            f"goal.template={template!r}: a format does not fit its value ({error}). {{level:.2f}} gives two decimals."
        ) from error


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
