"""Time gcsl compare: python scripts/bench_compare.py [--runs 50] [--prompts 200].

Creates run folders like those of training and evaluation (ten methods with several seeds each) and times the whole
comparison without imports: reading, intervals over seeds and prompts, tables, figures, files.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from gcsl_cli.cli import console
from gcsl_cli.metrics.bootstrap import mean_over_prompts
from gcsl_cli.reports.comparison import report  # imported here so that the import is not timed
from gcsl_cli.reports.saved import RESULT_VERSION, write_values
from gcsl_cli.runs.folders import FORMAT_VERSION
from gcsl_cli.stages.compare import run

METHODS = 10
MEASURES = [f"measure_{number}" for number in range(10)]
ARMS = ("base", "worst", "0.5", "best", "best-w2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    console.setup()
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.runs):
            make_run(Path(folder) / "toxicity" / f"run-{number}", number, arguments.prompts, generator)
        seconds = [timed(folder, Path(folder) / f"out-{number}") for number in range(arguments.rounds)]
    print(
        f"{arguments.runs} runs x {arguments.prompts} prompts: median {np.median(seconds):.2f} s after importing "
        f"{report.__name__}; the first, which imports matplotlib, {seconds[0]:.2f} s"
    )


def timed(folder: str, output: Path) -> float:
    """Time one comparison, in seconds."""
    started = time.perf_counter()
    result = run([f"{folder}/toxicity"], None, output, None)
    assert len(result["rows"]) == 2 * METHODS + 1
    return time.perf_counter() - started


def make_run(folder: Path, number: int, prompts: int, generator: np.random.Generator) -> None:
    """Create a run with one evaluation whose measures are random numbers."""
    seed, method = divmod(number, METHODS)
    keys = {
        "method": {"name": "gcsl"},
        "goal": {"formulation": "threshold", "wording": "language"},
        "method_no": method,
    }
    place = folder / "evaluations" / "best"
    write(folder / "manifest.json", {"kind": "training", "finished": "x", "keys": keys | {"seed": seed}})
    write(place / "manifest.json", {"kind": "evaluation", "finished": "x"})
    columns = [{"name": name, "label": name, "better": "lower"} for name in (*MEASURES, "perplexity")]
    names = ("feedback", "base model", "budget", "evaluation prompts", "sampling", "measures", "version")
    arms = [
        {
            "name": name,
            "label": name,
            "trained": name != "base",
            "goal": None if name == "base" else 0.9,
            "best": name.startswith("best"),
            "guidance": 2.0 if name.endswith("w2") else 0.0,
        }
        for name in ARMS
    ]
    result: dict[str, Any] = {
        "format_version": RESULT_VERSION,
        "task": "toxicity",
        "commit": "none",
        "columns": columns,
        "arms": arms,
        "facts": {"training_tokens": 15000, "supervised_tokens": 5000, "training_seconds": 100.0},
        "compared_by": dict.fromkeys(names, "same"),
    }
    write(place / "metrics.json", result)
    write_values(
        place / "values.parquet",
        {arm: {column["name"]: mean_over_prompts(generator.random(prompts)) for column in columns} for arm in ARMS},
    )


def write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format_version": FORMAT_VERSION, **value}), encoding="utf-8")


if __name__ == "__main__":
    main()
