"""Measure what a second process saves: python scripts/bench_processes.py [--rounds 3] [OVERRIDE]...

Runs `gcsl train` with one process of one thread and with two processes of one thread each, alternating, on the same
plan in micro-batches of half a step. Prints tokens per second, the ratio of each round and their median; the aim is
1.7.
Needs two idle cores. Overrides choose model and length: adapter=none train.max_steps=40 train.batch_size=16 ...
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

AIM = 1.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16, help="rows per optimizer step")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides of all runs")
    arguments = parser.parse_args()
    batches = [f"train.batch_size={arguments.batch_size}", f"train.micro_batch_size={arguments.batch_size // 2}"]
    if (cores := len(os.sched_getaffinity(0))) < 2:
        print(f"{cores} core: the ratio says nothing")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        lines = [*arguments.overrides, *batches, f"runs_dir={folder}"]
        train("prepare", lines, 1)
        for number in range(arguments.rounds):
            order = (1, 2) if number % 2 == 0 else (2, 1)
            speed = {processes: train("train", lines, processes) for processes in order}
            ratios.append(speed[2] / speed[1])
            print(
                f"round {number + 1}: {speed[1]:.0f} tokens/s with one process, {speed[2]:.0f} with two, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"two processes / one: median {statistics.median(ratios):.2f} of {len(ratios)} (aim {AIM})")


def train(stage: str, lines: list[str], processes: int) -> float:
    """Run a stage in so many processes of one thread each; tokens per second of the training, 0 if there was none."""
    program = [sys.executable, "-m", "gcsl_cli", stage, *lines, f"distributed.processes={processes}", "force=true"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([*program, "--json"], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    result = json.loads(ended.stdout)
    if ended.returncode:
        raise SystemExit(str(result["message"]))
    return float(result.get("columns", {}).get("tokens per second", 0))


if __name__ == "__main__":
    main()
