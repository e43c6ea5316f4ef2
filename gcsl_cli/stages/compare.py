"""compare: trained runs of one task over their seeds, with paired differences to a baseline."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcsl_cli.errors import ConfigError, DataError, did_you_mean
from gcsl_cli.reports.comparison.compute import compare
from gcsl_cli.reports.comparison.rows import BASE, Row, Wanted, make_rows
from gcsl_cli.reports.comparison.runs import matching, read_runs
from gcsl_cli.runs.files import write_json, write_text
from gcsl_cli.runs.provenance import provenance

RESAMPLES = 2000
BROAD = ("task", "runs_dir")
"""Overrides that select all runs of a task."""

log = logging.getLogger("gcsl")


def run(
    selectors: Sequence[str], baseline: str | None, output: Path | None, config_dir: Path | None, *, seed: int = 0
) -> dict[str, Any]:
    """Compare the runs that `selectors` name (folders, globs, overrides), write the report and return the result.

    Raises:
        ConfigError: an override is invalid.
        DataError: there is nothing to compare.
    """
    folders, wanted, problems = chosen_runs(selectors, config_dir)
    runs, unusable = read_runs(folders)
    rows, doubled = make_rows(runs, wanted)
    problems += unusable + doubled
    for problem in problems:
        log.warning("%s", problem)
    if not any(row.trained for row in rows):
        raise DataError(_nothing(problems))
    tasks = sorted({row.evaluations[0].result["task"] for row in rows})
    if len(tasks) > 1:
        raise ConfigError(f"The runs belong to several tasks: {', '.join(tasks)}. Compare one task at a time.")
    chosen = _baseline(rows, baseline)
    result = compare(rows, chosen, resamples=RESAMPLES, seed=seed)
    result |= {"left_out": problems, **{key: provenance()[key] for key in ("command", "commit")}}
    folder = output or _folder(rows)
    write_reports(result, folder)
    return {**result, "report": str(folder / "report.html")}


def chosen_runs(selectors: Sequence[str], config_dir: Path | None) -> tuple[list[Path], Wanted, list[str]]:
    """Run folders, the requested guidance and sampling, and a line for each selector that names no run."""
    lines = [selector for selector in selectors if "=" in selector]
    patterns = [selector for selector in selectors if "=" not in selector]
    folders, problems = matching(patterns)
    if not lines and patterns:
        return folders, Wanted(), problems
    from gcsl_cli.configs import Composer, finish, without_hydra
    from gcsl_cli.stages.evaluation.arms import SAMPLING, sampling
    from gcsl_cli.stages.rounds.chain import rounds_of

    composer = Composer(config_dir)
    members = composer.members(lines)
    composed = [composer.compose(member) for member in members]
    if all(line.partition("=")[0] in BROAD for line in lines):
        # These configs may lack a mandatory value, such as the path of a file: all runs of the task are wanted.
        found, missing = matching([str(Path(config.runs_dir) / config.task.name) for config in composed])
        return [*folders, *found], Wanted(), problems + missing
    configs = [finish(without_hydra(config), member) for config, member in zip(composed, members, strict=True)]
    for member, config in zip(members, configs, strict=True):
        runs = [experiment.training.path for experiment in rounds_of(config)]
        made = [folder for folder in runs if (folder / "manifest.json").exists()]
        folders += made
        if made != runs and not (made and config.rounds.stops):
            problems.append(f"{runs[len(made)]}: not trained yet: gcsl evaluate {' '.join(member)}")
    keys = {line.partition("=")[0] for line in lines}
    guidance = frozenset(sum(config.generation.weights.values()) for config in configs)
    samplings = frozenset(sampling(config.generation) for config in configs)
    wanted = Wanted(
        guidance if "generation.guidance" in keys else None,
        samplings if keys & {f"generation.{name}" for name in SAMPLING} else None,
    )
    return list(dict.fromkeys(folders)), wanted, problems


def _baseline(rows: Sequence[Row], name: str | None) -> Row:
    """The row with that label, by default the base model or else the first row; without such a row, `ConfigError`."""
    if name is None:
        return next((row for row in rows if row.label == BASE), rows[0])
    found = [row for row in rows if row.label == name]
    if found:
        return found[0]
    labels = [row.label for row in rows]
    raise ConfigError(
        f"--baseline {name!r}: not among the rows.{did_you_mean(name, labels)} The rows are: {'; '.join(labels)}."
    )


def _nothing(problems: Sequence[str]) -> str:
    more = f" And {len(problems) - 1} more." if len(problems) > 1 else ""
    why = f" Left out: {problems[0]}{more}" if problems else ""
    return (
        f"There is nothing to compare.{why} Name runs that gcsl evaluate has finished, by folder, glob or "
        "the overrides of a sweep."
    )


def _folder(rows: Sequence[Row]) -> Path:
    """A folder beside the runs, named by a hash of their paths."""
    runs = sorted({str(run.path) for row in rows for run in row.runs})
    name = hashlib.sha256("\n".join(runs).encode()).hexdigest()[:8]
    return rows[-1].runs[0].path.parent / "comparisons" / name


def write_reports(result: dict[str, Any], folder: Path) -> None:
    """Write the comparison as JSON, Markdown, CSV, LaTeX and HTML."""
    from gcsl_cli.reports.comparison.report import (
        comparison_csv,
        comparison_html,
        comparison_latex,
        comparison_markdown,
    )

    write_json(folder / "comparison.json", result)
    write_text(folder / "comparison.md", comparison_markdown(result))
    write_text(folder / "comparison.csv", comparison_csv(result))
    write_text(folder / "comparison.tex", comparison_latex(result))
    write_text(folder / "report.html", comparison_html(result))
