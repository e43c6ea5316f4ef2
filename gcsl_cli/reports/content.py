"""What a report says in words and plain values, shared by its Markdown and its HTML form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gcsl_cli.reports.estimates import with_interval

Result = Mapping[str, Any]
ARROWS = {"lower": "↓", "higher": "↑"}
ARROWS_EXPLAINED = "↓ lower is better, ↑ higher is better"


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of the main table."""

    name: str
    label: str
    better: str | None
    digits: int
    independent: bool
    detail: bool = False

    @property
    def heading(self) -> str:
        """The label with an arrow in the good direction."""
        return f"{self.label} {ARROWS[self.better]}" if self.better else self.label


def columns(result: Result) -> list[Column]:
    """The measures in order, the main one first."""
    return [
        Column(
            name=column["name"],
            label=column["label"],
            better=column.get("better"),
            digits=column.get("digits", 3),
            independent=column.get("independent", False),
            detail=column.get("detail", False),
        )
        for column in result["columns"]
    ]


def base_arm(result: Result) -> Mapping[str, Any] | None:
    """The arm that the others are compared with, None when no arm is compared."""
    if not any(arm.get("difference") for arm in result["arms"]):
        return None
    return next((arm for arm in result["arms"] if not arm.get("difference")), None)


def fact_rows(result: Result) -> list[tuple[str, str]]:
    """What was run, as names and values; the command stands apart."""
    rows = [("task", str(result["task"])), ("run", str(result["run"])), ("commit", str(result["commit"] or "unknown"))]
    rows += [(name.replace("_", " "), _fact(value)) for name, value in result["facts"].items()]
    return [*rows, ("seconds of this evaluation", _fact(result["seconds"]))]


def discrimination_rows(result: Result) -> Iterator[tuple[str, str, str, int]]:
    """Model, pooled AUC, AUC within prompts, and over how many prompts the latter is."""
    for model, part in (result.get("discrimination") or {}).items():
        if part is not None:
            yield model, with_interval(part["pooled"]), with_interval(part["within"]), part["within"]["n"]


LIKELIHOODS_EXPLAINED = (
    "Mean log-probability a token (nats) of held-out completions when a level is asked for: of the good ones (at or "
    "above the cut of goal discrimination) and of the poor ones. Compare down a column: a model that has learned the "
    "goal rates good completions higher under a high level than under a low one, and poor ones lower."
)


def likelihood_heading(result: Result) -> list[str]:
    """The names of the two groups with how many they are."""
    found = result["likelihoods"]
    return [f"{found['good']} good completions", f"{found['poor']} poor completions"]


def likelihood_rows(result: Result) -> Iterator[list[str]]:
    """Level, its words, and the likelihoods of good and of poor completions."""
    for part in (result.get("likelihoods") or {}).get("levels", ()):
        yield [part["label"], part["asked"], with_interval(part["good"]), with_interval(part["poor"])]


def attainment_rows(result: Result) -> Iterator[list[str]]:
    """Level, its words, the share of completions that reach it, their mean score."""
    for part in (result.get("attainment") or {}).get("levels", ()):
        yield [part["label"], part["asked"] or "", with_interval(part["share"]), with_interval(part["mean"])]


def left_out_notes(result: Result) -> list[str]:
    """One sentence for each estimate that does not rest on all prompts."""
    return [
        f"{arm['label']}, {column.label}: {estimate['left_out']} of {estimate['n'] + estimate['left_out']} prompts had "
        "no value and are left out."
        for arm in result["arms"]
        for column in columns(result)
        if (estimate := arm["metrics"].get(column.name)) and estimate["left_out"]
    ]


def how_to_read(result: Result) -> str:
    """What the numbers mean and what they do not."""
    if not result["arms"]:
        return "Nothing was sampled: what follows comes from held-out graded completions alone."
    text = (
        "Values are averages over prompts with 95 % bootstrap intervals over those prompts; the intervals say nothing "
        "about how another training seed would have come out."
    )
    if (base := base_arm(result)) is not None:
        text += (
            f" Differences are paired: the same prompts, minus {base['label']}. "
            '"Better" and "worse" are said only where the interval of the difference excludes 0; among many measures '
            "some do so by chance."
        )
    return text + (_judge(columns(result)) if result.get("graded", True) else "")


def attainment_note(result: Result) -> str:
    """A caveat on the rank correlation over level means."""
    if len(result["attainment"]["levels"]) == 2:
        return "Over two level means the correlation can only be 1, -1 or undefined."
    return ""


def _judge(measures: list[Column]) -> str:
    if measures[0].independent:
        return ""
    text = (
        f" The first measure, {measures[0].label}, is judged by the scorer that graded the training data, so a model "
        "can please that scorer without being better"
    )
    beside = [column.label for column in measures if column.independent]
    if not beside:
        return f"{text}; read it together with the measures that do not use that scorer."
    verbs = ("does", "stands") if len(beside) == 1 else ("do", "stand")
    return f"{text}; for that reason {' and '.join(beside)}, which {verbs[0]} not use it, {verbs[1]} beside it."


def _fact(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
