"""Measure the speed and memory of relabelling: python scripts/bench_relabel.py.

Prints goal rows per second on one core (scores to (row, level) indices) and the peak memory of writing the goal rows of
100,000 and of 1,000,000 scores with five levels over the whole dataset.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gcsl_cli.goals.levels import quantile_levels
from gcsl_cli.goals.relabel import highest_reached, reached_pairs
from gcsl_cli.methods.gcsl import write_goal_rows

QUANTILES = [0.0, 0.2, 0.4, 0.6, 0.8]


def rows_per_second(count: int = 1_000_000, rounds: int = 7) -> float:
    """Median goal rows per second from scores to indices, including the computation of levels."""
    scores = np.random.default_rng(0).random(count)
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        rows, _levels = reached_pairs(highest_reached(scores, quantile_levels(scores, QUANTILES)))
        rates.append(len(rows) / (time.perf_counter() - started))
    return statistics.median(rates)


def peak_memory(count: int) -> int:
    """Peak resident memory (MiB) of this process after writing the goal rows of `count` scores."""
    scores = np.random.default_rng(0).random(count)
    with tempfile.TemporaryDirectory() as folder:
        highest = highest_reached(scores, quantile_levels(scores, QUANTILES))
        write_goal_rows(Path(folder) / "rows.parquet", highest, every=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    if len(sys.argv) == 2:
        print(peak_memory(int(sys.argv[1])))
        return
    print(f"goal rows per second, one core, median of 7: {rows_per_second():,.0f}")
    small, large = (
        int(subprocess.run([sys.executable, __file__, str(n)], capture_output=True, check=True, text=True).stdout)
        for n in (100_000, 1_000_000)
    )
    print(f"peak memory: {small} MiB for 100,000 rows, {large} MiB for 1,000,000: ratio {large / small:.2f}")


if __name__ == "__main__":
    main()
