"""Measure the speed and memory of relabelling: python scripts/bench_relabel.py.

Prints goal rows per second of CPU time (scores to (row, level) indices) and the peak memory of writing the goal rows of
100,000 and of 1,000,000 scores with five levels over the whole dataset. Then the same of rows with four scores of five
levels each: an epoch of balanced goals with open parts and a missed goal for each, 625 combinations of levels.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gcsl_cli.data.arrays import Ints
from gcsl_cli.goals.levels import quantile_levels
from gcsl_cli.goals.relabel import highest_reached, reached_pairs
from gcsl_cli.methods.gcsl import write_goal_rows
from gcsl_cli.methods.parts import write_combinations
from gcsl_cli.training.drawing import Drawing
from gcsl_cli.training.joint_goals import JointGoals

QUANTILES = [0.0, 0.2, 0.4, 0.6, 0.8]
PARTS = 4


def rows_per_second(count: int = 1_000_000, rounds: int = 7) -> float:
    """Median goal rows per second from scores to indices, including the computation of levels."""
    scores = np.random.default_rng(0).random(count)
    rates = []
    for _ in range(rounds):
        started = time.process_time()
        rows, _levels = reached_pairs(highest_reached(scores, quantile_levels(scores, QUANTILES)))
        rates.append(len(rows) / (time.process_time() - started))
    return statistics.median(rates)


def joint_highest(count: int) -> Ints:
    """The highest level of each of four scores that each row reaches, `(count, 4)`."""
    scores = np.random.default_rng(0).random((PARTS, count))
    return np.stack([highest_reached(one, quantile_levels(one, QUANTILES)) for one in scores], axis=1)


def joint_rows_per_second(count: int = 1_000_000, rounds: int = 3) -> float:
    """Median goal rows per second of rows with four scores, from scores to the goals of an epoch and missed ones."""
    drawing = Drawing("threshold", "sample", "levels", missed="best")
    rates = []
    for _ in range(rounds):
        started, generator = time.process_time(), np.random.default_rng(0)
        goals = JointGoals(joint_highest(count), [np.arange(5.0)] * PARTS, np.arange(count), drawing, 0.25)
        for rows, reached in goals.passes(1, generator):
            goals.missed(rows, reached, generator)
        rates.append(count / (time.process_time() - started))
    return statistics.median(rates)


def peak_memory(count: int, parts: int) -> int:
    """Peak resident memory (MiB) of this process after writing the goals of `count` rows with one or four scores."""
    with tempfile.TemporaryDirectory() as folder:
        if parts > 1:
            write_combinations(Path(folder) / "rows.parquet", list("abcd"), joint_highest(count))
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        scores = np.random.default_rng(0).random(count)
        highest = highest_reached(scores, quantile_levels(scores, QUANTILES))
        write_goal_rows(Path(folder) / "rows.parquet", highest, every=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    if len(sys.argv) == 3:
        print(peak_memory(int(sys.argv[1]), int(sys.argv[2])))
        return
    print(f"goal rows per second of one core, median of 7: {rows_per_second():,.0f}")
    print(f"with four scores, median of 3: {joint_rows_per_second():,.0f}")
    for parts, label in ((1, "one score"), (PARTS, "four scores")):
        small, large = (
            int(
                subprocess.run(
                    [sys.executable, __file__, str(n), str(parts)], capture_output=True, check=True, text=True
                ).stdout
            )
            for n in (100_000, 1_000_000)
        )
        print(
            f"peak memory, {label}: {small} MiB for 100,000 rows, {large} MiB for 1,000,000: ratio {large / small:.2f}"
        )


if __name__ == "__main__":
    main()
