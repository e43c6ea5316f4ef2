"""Create run folders like those of training and evaluation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.metrics.bootstrap import mean_over_prompts
from gcsl_cli.reports.comparison.compute import compare
from gcsl_cli.reports.comparison.rows import make_rows
from gcsl_cli.reports.comparison.runs import read_runs
from gcsl_cli.reports.saved import RESULT_VERSION, write_values
from gcsl_cli.runs.folders import FORMAT_VERSION

COLUMNS = [
    {"name": "toxicity", "label": "mean toxicity", "better": "lower", "digits": 3, "independent": False},
    {"name": "perplexity", "label": "perplexity under base", "better": "lower", "digits": 2, "independent": False},
    {"name": "distinct_2", "label": "dist-2", "better": "higher", "digits": 3, "independent": False},
    {"name": "empty", "label": "empty", "better": "lower", "digits": 3, "independent": False, "detail": True},
]
PROTOCOL = {
    "feedback": "f1",
    "base model": "m1",
    "budget": "100 tokens",
    "evaluation prompts": "p1",
    "sampling": "samples 2, temperature 1.0",
    "measures": "s1",
    "version": "0.1.0",
}
GCSL: dict[str, Any] = {
    "method": {"name": "gcsl", "label": "threshold-language"},
    "goal": {"formulation": "threshold", "wording": "language"},
    "train": {"batch_size": 4},
}
SFT: dict[str, Any] = {
    "method": {"name": "sft", "label": "sft top_fraction 0.2", "select": "top_fraction", "by": 0.2},
    "goal": None,
    "train": {"batch_size": 4},
}


def arm(
    name: str, *, trained: bool = True, goal: float | None = None, best: bool = False, guidance: float = 0.0
) -> Any:
    return {"name": name, "label": name, "trained": trained, "goal": goal, "best": best, "guidance": guidance}


BASE = arm("base", trained=False)
PLAIN = arm("trained")
GOALS = [arm("worst", goal=0.1), arm("best", goal=0.9, best=True)]


def make_run(
    folder: Path,
    arms: Mapping[str, Sequence[float]],
    *,
    seed: int = 0,
    keys: Mapping[str, Any] = GCSL,
    described: Sequence[Any] = (BASE, *GOALS),
    compared_by: Mapping[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
    evaluation: str = "best-1",
    finished: str = "2026-01-01",
) -> Path:
    """A run with one more finished evaluation; `arms` are the toxicities of each prompt by arm."""
    write(
        folder / "manifest.json",
        {"format_version": FORMAT_VERSION, "kind": "training", "finished": "2026-01-01"}
        | {"keys": {**keys, "seed": seed}},
    )
    place = folder / "evaluations" / evaluation
    place.mkdir(parents=True, exist_ok=True)
    write(place / "manifest.json", {"format_version": FORMAT_VERSION, "kind": "evaluation", "finished": finished})
    means = {name: float(np.mean(values)) for name, values in arms.items()}
    levels = [
        {"level": found["goal"], "label": str(found["goal"]), "mean": {"value": 1 - means[found["name"]]}}
        for found in described
        if found["goal"] is not None and not found["guidance"]
    ]
    write(
        place / "metrics.json",
        {
            "format_version": RESULT_VERSION,
            "task": "toxicity",
            "commit": "1a2b3c4",
            "columns": COLUMNS,
            "arms": [found for found in described if found["name"] in arms],
            "facts": {"training_tokens": 100, "supervised_tokens": 40, "training_seconds": 10.0 + seed},
            "compared_by": PROTOCOL | dict(compared_by or {}),
            "attainment": {"levels": levels, "spearman_levels": 1.0} if levels else None,
            "discrimination": {"trained": {"pooled": {"value": 0.6 + seed / 10}}} if levels else None,
        }
        | dict(result or {}),
    )
    write_values(
        place / "values.parquet",
        {
            name: {
                "toxicity": mean_over_prompts(np.array(values, dtype=np.float64)),
                "perplexity": mean_over_prompts(np.full(len(values), 10.0)),
                "distinct_2": mean_over_prompts(np.full(len(values), 0.9)),
                "empty": mean_over_prompts(np.zeros(len(values))),
            }
            for name, values in arms.items()
        },
    )
    return folder


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def compared(folder: Path) -> dict[str, Any]:
    """Base 0.3; goals 0.1 and 0.2, with guidance 0; rows of the better fifth 0.25, at a different budget."""
    folders = [
        make_run(
            folder / f"goals-{seed}",
            {"base": [0.3] * 4, "worst": [0.5] * 4, "best": [0.1 + seed / 10] * 4, "best-w2": [0.0] * 4},
            seed=seed,
            described=[BASE, *GOALS, arm("best-w2", goal=0.9, best=True, guidance=2.0)],
        )
        for seed in (0, 1)
    ]
    other = {"budget": "7 tokens & more"}
    folders.append(make_run(folder / "sft", {"trained": [0.25] * 4}, keys=SFT, described=[PLAIN], compared_by=other))
    rows, _ = make_rows(read_runs(folders)[0])
    goals = next(row for row in rows if row.label == "threshold-language")
    made = compare(rows, goals, resamples=100, seed=0)
    return made | {"left_out": ["runs/<x>: half done."], "command": "gcsl compare task=toxicity", "commit": "1a2b3c4"}
