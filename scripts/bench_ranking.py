"""Benchmark ranking and reading ratings: python scripts/bench_ranking.py [--rounds 5] [--ratings 10000000].

Ranking: score the candidates of users of `task=recommendation` with the history computed once, and with one forward
pass per candidate (fp32, the real model, untrained). Prints the median ratio of times and whether the order agrees.
Reading: turn a generated file of ratings into rows in a separate process. Prints the seconds and peak memory.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from gcsl_cli.cli import console
from gcsl_cli.configs import load
from gcsl_cli.generation.likelihood import completion_log_probs, score_completions
from gcsl_cli.goals.spec import no_goal_spec
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.tasks.recommendation.task import RecommendationTask

USERS, ITEMS = 140_000, 20_000
"""Size of the generated file; MovieLens-10M has 70,000 and 11,000."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="number of users to rank candidates for")
    parser.add_argument("--ratings", type=int, default=10_000_000)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    console.setup()
    if arguments.prepare:
        rows = _task(arguments.prepare).graded_rows(lambda *_: [], None)
        print(len(rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    ranking(arguments.rounds)
    preparing(arguments.ratings)


def ranking(rounds: int) -> None:
    """Print the speedup from computing the history once."""
    experiment = Experiment(load(["task=recommendation"]))
    task = experiment.config.task
    prompts = task.evaluation_prompts(task.graded_rows(lambda *_: [], None))[:rounds]
    prompter = experiment.prompter(no_goal_spec(task.name, "plain", task.instruction))
    model = experiment.base_model.float()
    ratios, differences, same = [], [], []
    for prompt, texts in zip(prompts, task.candidates(prompts), strict=True):
        rows = [prompter.row(prompt.text, None, text, finished=True, max_length=None) for text in texts]
        ids = [(row.input_ids[: row.prompt_tokens], row.input_ids[row.prompt_tokens :]) for row in rows]
        started = time.perf_counter()
        together = score_completions(model, ids[0][0], [completion for _, completion in ids])[0]
        middle = time.perf_counter()
        alone = np.array([completion_log_probs(model, [row])[0][0] for row in ids])
        ratios.append((time.perf_counter() - middle) / (middle - started))
        differences.append(float(np.abs(together - alone).max()))
        same.append(bool((np.argsort(together) == np.argsort(alone)).all()))
    print(
        f"{len(texts)} candidates per user: {statistics.median(ratios):.1f} times faster than one by one, at most "
        f"{max(differences):.0e} nats different, same order for {sum(same)} of {len(same)} users",
        flush=True,
    )


def preparing(count: int) -> None:
    """Print the time and memory needed to turn a large file into rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        generator = np.random.default_rng(0)
        table = {
            "user_id": generator.integers(USERS, size=count),
            "item_id": (generator.beta(1, 5, size=count) * ITEMS).astype(np.int64),
            "rating": generator.integers(1, 6, size=count),
            "timestamp": generator.integers(10**9, size=count),
        }
        pv.write_csv(pa.table(table), path / "ratings.csv")
        items = [f"Movie {item} ({1950 + item % 70})" for item in range(ITEMS)]
        pv.write_csv(pa.table({"item_id": range(ITEMS), "title": items}), path / "items.csv")
        del table
        started = time.perf_counter()
        command = [sys.executable, __file__, "--prepare", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, peak = done.stdout.split()[-2:]
        print(f"{count} ratings to {rows} rows: {time.perf_counter() - started:.0f} s, peak memory {peak} MiB")


def _task(folder: Path) -> RecommendationTask:
    return RecommendationTask(
        ratings=str(folder / "ratings.csv"), items=str(folder / "items.csv"), heading="Rated movies, oldest first:"
    )


if __name__ == "__main__":
    main()
