"""Wordings: how each level is expressed in the prompt.

language   "Give a response whose quality is at least 4 on a scale from 1 to 5.", or one of the task's sentences
token      <|goal_3|>, or <|goal_3_0|><|goal_3_1|> with two tokens per level
number     4

A goal with several parts has a phrase of each part instead, "whose helpfulness is at least 4 of 5", in a frame.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from gcsl_cli.errors import ConfigError, did_you_mean, listed
from gcsl_cli.goals.scale import Scale, short_numbers

RAW_TEMPLATE = "{level:.2f}"
_LANGUAGE = {
    ("threshold", "dataset"): "Give a response whose {name} is at RELATION {level} on a scale from {low} to {high}.",
    ("exact", "dataset"): "Give a response whose {name} is {level} on a scale from {low} to {high}.",
    ("threshold", "prompt"): "Give a response whose {name} beats at least {percent}% of the other responses.",
    ("exact", "prompt"): "Give a response whose {name} beats {percent}% of the other responses.",
}
_PART = {
    "threshold": "whose {name} is at RELATION {level} of {high}",
    "exact": "whose {name} is {level} of {high}",
}
FRAMES = {"language": "Give a response {parts}.", "token": "{parts}", "number": "{parts}"}
"""The text around the phrases of several parts."""
JOINS = {"language": (", ", " and "), "token": ("", ""), "number": (", ", ", ")}
"""What stands between two phrases, and between the last two."""
_LEVELS = ("level", "index", "percent")
_KNOWN = (*_LEVELS, "low", "high", "name")


@dataclass(frozen=True, slots=True)
class _Number:
    """A number in a template: its short form, or formatted as the template says."""

    value: float
    short: str

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else self.short


def goal_texts(wording: str, phrases: Sequence[str], tokens: int = 1, name: str = "goal") -> tuple[str, ...]:
    """Goal text of each level: its phrase, or `tokens` control tokens, called after `name`, under the token wording."""
    if wording != "token":
        return tuple(phrases)
    if tokens == 1:
        return tuple(f"<|{name}_{index}|>" for index in range(len(phrases)))
    return tuple("".join(f"<|{name}_{index}_{part}|>" for part in range(tokens)) for index in range(len(phrases)))


def control_tokens(text: str) -> list[str]:
    """Extract the control tokens from a level's text."""
    return re.findall(r"<\|goal_[0-9_]+\|>", text)


def default_template(wording: str, formulation: str, per: str, rule: str, scale: Scale) -> str:
    """Return the template for goals that neither the task nor the config words."""
    if wording == "number":
        return RAW_TEMPLATE if rule == "raw" else "{level}"
    return _LANGUAGE[formulation, per].replace("RELATION", _relation(scale))


def part_template(wording: str, formulation: str, scale: Scale) -> str:
    """Return the template for the phrases of a part that neither the task nor the config words."""
    if wording == "number":
        return "{name}: {level}"
    return _PART[formulation].replace("RELATION", _relation(scale))


def _relation(scale: Scale) -> str:
    return "most" if scale.lower_is_better else "least"


def check_template(template: str, per: str, rule: str) -> None:
    """Reject a template that cannot tell levels apart.

    Raises:
        ConfigError: no placeholder identifies the level, a placeholder is unknown, or a format is invalid.
    """
    key = f"goal.template={template!r}"
    allowed = ["level", "low", "high", "name"]
    allowed += [] if rule == "raw" else ["index"]
    allowed += ["percent"] if per == "prompt" else []
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}. Write {{{{ and }}}} for literal braces.") from error
    used = [field for _, field, _, _ in parts if field is not None]
    for field in used:
        if field not in allowed:
            reason = "not available with these levels" if field in _KNOWN else "no such placeholder"
            raise ConfigError(
                f"{key}: {{{field}}}: {reason}.{did_you_mean(field, allowed)} Placeholders: {listed(allowed)}."
            )
    if not any(field in _LEVELS for field in used):
        raise ConfigError(f"{key}: no placeholder identifies the level. Put {{level}} where the number belongs.")
    for _, name, format_spec, conversion in parts:
        if rule == "raw" and name == "level" and not format_spec:
            raise ConfigError(f"{key}: raw scores need a number of digits, for example {{level:.2f}}.")
        if re.search(r"\d{3}", format_spec or ""):
            raise ConfigError(f"{key}: {{{name}:{format_spec}}}: a width or precision has at most two digits.")
        if conversion:
            raise ConfigError(f"{key}: {{{name}!{conversion}}}: remove the !{conversion}.")


def scale_values(scale: Scale) -> dict[str, Any]:
    """Values of the placeholders that are the same for every level."""
    low, high = short_numbers([scale.low, scale.high])
    return {"low": _Number(scale.low, low), "high": _Number(scale.high, high), "name": scale.name}


def fill_template(template: str, grades: Sequence[float], scale: Scale) -> tuple[str, ...]:
    """Fill in the template for each grade (or quantile), in order.

    Raises:
        ConfigError: a format does not suit its value.
    """
    percents = short_numbers([100 * grade for grade in grades])
    try:
        return tuple(
            template.format(
                level=_Number(grade, short),
                index=index,
                percent=_Number(100 * grade, percent),
                **scale_values(scale),
            )
            for index, (grade, short, percent) in enumerate(zip(grades, short_numbers(grades), percents, strict=True))
        )
    except (ValueError, IndexError) as error:
        raise ConfigError(
            f"goal.template={template!r}: a format does not suit its value ({error}). {{level:.2f}} gives two decimals."
        ) from error


def check_distinct(phrases: Sequence[str], source: str) -> None:
    """Reject phrases that do not tell levels apart; `source` is the key that they come from.

    Raises:
        ConfigError: a phrase is blank, or two levels have the same one.
    """
    for phrase in phrases:
        if not phrase.strip() or phrases.count(phrase) > 1:
            raise ConfigError(
                f"{source} words {phrases.count(phrase)} of {len(phrases)} levels as {phrase!r}. Each level needs a "
                "phrase of its own."
            )


def pick_sentences(sentences: Sequence[str], count: int) -> tuple[str, ...]:
    """Pick `count` evenly spaced sentences, worst first, including the first and the last.

    Raises:
        ConfigError: there are fewer sentences than levels.
    """
    if len(sentences) < count:
        raise ConfigError(
            f"There are {count} levels but only {len(sentences)} sentences. Provide one sentence per level, worst "
            "first (goal.sentences), or use fewer levels (goal.levels)."
        )
    last = len(sentences) - 1
    return tuple(sentences[round(index * last / (count - 1))] for index in range(count))
