"""Tables and sections on held-out graded completions: how well goals tell good ones from poor ones."""

from collections.abc import Iterator

from gcsl_cli.reports.estimates import Result, with_interval
from gcsl_cli.reports.sections import Section
from gcsl_cli.reports.several import separation_section
from gcsl_cli.reports.tables import Table


def held_out_sections(result: Result) -> Iterator[Section]:
    """Sections on likelihoods of held-out completions under the goals."""
    if (table := discrimination_table(result)) is not None:
        yield Section(
            "Goal discrimination",
            "How well log p(completion | best goal) − log p(completion | worst goal) separates good held-out "
            "completions from poor ones (AUC; 0.5 is chance).",
            table,
        )
    yield from separation_section(result)
    if (table := likelihood_table(result)) is not None:
        yield Section(
            "Likelihood of held-out completions",
            "Mean log-probability per token (nats) at each level asked for, of good completions (at or above the cut "
            "of goal discrimination) and of poor ones. Read down a column: after learning the goal, a model gives good "
            "completions a higher likelihood under a high level than under a low one, and poor completions a lower "
            "one.",
            table,
        )


def discrimination_table(result: Result) -> Table | None:
    """One row per model: how well the goal separates good held-out completions from poor ones."""
    found = {model: part for model, part in (result.get("discrimination") or {}).items() if part is not None}
    if not found:
        return None
    return Table.of(
        ["model", "all rows", "within prompts", "prompts with both"],
        [
            [model, with_interval(part["pooled"]), with_interval(part["within"]), str(part["within"]["n"])]
            for model, part in found.items()
        ],
        title="goal discrimination AUC, held-out rows",
        notes=["0.5 is chance."],
    )


def likelihood_table(result: Result) -> Table | None:
    """One row per level asked for: likelihoods of good and of poor held-out completions."""
    found = result.get("likelihoods")
    if not found or not found["levels"]:
        return None
    return Table.of(
        ["level", "in words", f"{found['good']} good completions", f"{found['poor']} poor completions"],
        [
            [part["label"], part["asked"], with_interval(part["good"]), with_interval(part["poor"])]
            for part in found["levels"]
        ],
        prose=(0, 1),
        detail=(1,),
        title="log-probability per token of held-out completions (nats)",
    )
