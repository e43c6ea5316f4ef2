"""Compare reading graded completions with plain `datasets`: python scripts/bench_feedback.py [--rows 1000000].

Writes JSON lines of about 300 bytes to a temporary folder. Both sides read them, map the columns to prompt, completion
and score, and split by a hash of the prompt. They take turns, each in a fresh process. Prints the seconds and peak
resident memory of both, and the median ratio of seconds (below 1: gcsl is faster).
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gcsl_cli.data.splits import prompt_id
from gcsl_cli.tasks.feedback.columns import ColumnsConfig
from gcsl_cli.tasks.feedback.task import FeedbackTask


def write_rows(path: Path, count: int) -> None:
    """Write three completions per prompt, with words from a small vocabulary."""
    draw = random.Random(0)
    words = [f"word{number}" for number in range(500)]
    texts = [" ".join(draw.choices(words, k=16)) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            row = {
                "instruction": f"{texts[number // 3 % 5000]} {number // 3}?",
                "output": texts[draw.randrange(5000)],
                "rating": draw.randint(1, 5),
            }
            stream.write(json.dumps(row) + "\n")


def read_with_gcsl(path: Path) -> int:
    task = FeedbackTask(path=str(path), columns=ColumnsConfig())
    return len(task.graded_rows(lambda *_: [], None))


def read_with_datasets(path: Path) -> int:
    from datasets import load_dataset

    def mapped(row: dict[str, Any]) -> dict[str, Any]:
        id_ = prompt_id(row["instruction"])
        draw = int(id_, 16) / 2**64
        return {
            "prompt": row["instruction"],
            "completion": row["output"],
            "score": float(row["rating"]),
            "prompt_id": id_,
            "split": "test" if draw < 0.1 else "validation" if draw < 0.2 else "train",
        }

    data = load_dataset("json", data_files=str(path), split="train", cache_dir=str(path.parent / f"cache{os.getpid()}"))
    return len(data.map(mapped, remove_columns=data.column_names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["gcsl", "datasets"], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        started = time.perf_counter()
        count = {"gcsl": read_with_gcsl, "datasets": read_with_datasets}[arguments.side](arguments.path)
        seconds = time.perf_counter() - started
        print(count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, arguments.rows)
        print(f"{arguments.rows:,} rows, {path.stat().st_size / arguments.rows:.0f} bytes each")
        times: dict[str, list[float]] = {"gcsl": [], "datasets": []}
        for _ in range(arguments.rounds):
            for side, taken in times.items():
                line = [sys.executable, __file__, "--side", side, "--path", str(path)]
                done = subprocess.run(
                    line, capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
                )
                rows, seconds, memory = (float(value) for value in done.stdout.split()[-3:])
                assert rows == arguments.rows
                taken.append(seconds)
                print(f"{side:8s} {seconds:6.1f} s  {memory:.2f} GiB", flush=True)
    ratio = statistics.median(a / b for a, b in zip(times["gcsl"], times["datasets"], strict=True))
    print(f"ratio of seconds, median of {arguments.rounds} rounds: {ratio:.2f}")


if __name__ == "__main__":
    main()
