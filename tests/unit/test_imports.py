"""The pure modules do their work without torch: nothing that is computed from rows and numbers waits for it."""

import json
import subprocess
import sys
from pathlib import Path

PURE = [
    "data.arrays",
    "data.artifacts",
    "data.input_files",
    "data.merging",
    "data.records",
    "data.splits",
    "configs.schema",
    "errors",
    "goals.levels",
    "goals.relabel",
    "goals.spec",
    "goals.template",
    "metrics.attainment",
    "metrics.bootstrap",
    "metrics.discrimination",
    "metrics.pass_at_k",
    "metrics.ranking",
    "metrics.text",
    "metrics.toxicity",
    "models.prompting",
    "reports",
    "reports.comparison.report",
    "reports.comparison.runs",
    "reports.evaluation",
    "reports.held_out",
    "reports.rounds",
    "reports.saved",
    "runs.files",
    "runs.folders",
    "runs.locks",
    "runs.provenance",
    "scorers.judge",
    "scorers.profanity",
    "scorers.reward_model",
    "scorers.weighted",
    "scorers.wordlist",
    "tasks.base",
    "tasks.code.timing",
    "tasks.code.extraction",
    "tasks.code.problems",
    "tasks.code.sandbox.grader",
    "tasks.code.sandbox.probe",
    "tasks.code.task",
    "tasks.code.unit_tests",
    "tasks.feedback.task",
    "tasks.recommendation.candidates",
    "tasks.recommendation.rating_log",
    "tasks.recommendation.tallrec",
    "tasks.recommendation.task",
    "tasks.toxicity",
    "training.batching",
    "training.branches",
    "training.checkpoints",
    "training.drawing",
    "training.plan",
]
PROGRAM = """
import importlib, json, sys
loaded = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module("gcsl_cli." + name)
    for heavy in ("torch", "transformers", "trl", "datasets", "hydra"):
        if heavy in sys.modules:
            loaded.setdefault(heavy, name)
print(json.dumps(loaded))
"""


def test_pure_modules_import_no_torch() -> None:
    command = [sys.executable, "-c", PROGRAM, json.dumps(PURE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == {}


def test_looking_at_a_file_needs_no_torch(tiny_model: Path, tmp_path: Path) -> None:
    """Torch takes longer to import than a look at the first rows."""
    rows = [{"prompt": f"p{n}", "completion": f"c{n}", "score": n % 3} for n in range(30)]
    (tmp_path / "my.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    program = f"""
import sys
from gcsl_cli.stages.inspection import run
lines = ["model=local", "model.uri={tiny_model}"]
found = run({str(tmp_path / "my.jsonl")!r}, lines, first=None, output=None, pairs=None, config_dir=None)
print(found["rows"], "prompt_tokens" in found, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "30 True False"


def test_the_start_of_a_command_imports_little() -> None:
    """Until `main` is reached, Ctrl-C ends in Python's own traceback; importing typing takes longer than all else."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import gcsl_cli.__main__; print(sorted(sys.modules))"
    command = [sys.executable, "-I", "-S", "-c", program, str(Path(__file__).parents[2])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "'gcsl_cli.cli.stopping'" in done.stdout
    assert not any(f"'{slow}'" in done.stdout for slow in ("typing", "re", "json", "logging", "pathlib"))


def test_scoring_and_planning_need_no_torch() -> None:
    """Not at import and not when they are called either."""
    program = """
import sys
import numpy as np
from gcsl_cli.scorers.base import Example
from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.wordlist import WordListScorer
from gcsl_cli.goals.relabel import highest_reached
from gcsl_cli.training.batching import Batching, Measured
from gcsl_cli.training.drawing import Drawing, LevelGoals
from gcsl_cli.training.plan import Budget, draw_plan
EXAMPLES = [Example("", "a")]
assert len(ProfanityScorer()(EXAMPLES)) == len(WordListScorer()(EXAMPLES)) == 1
highest = highest_reached(np.arange(20.0), np.array([0.0, 9.0]))
def measure(rows, goals, missed, sequence):
    return Measured.of_rows(rows + 1, rows, 0 * rows)
source = LevelGoals(highest, np.arange(20), np.array([0.0, 9.0]), Drawing("threshold", "all", "levels"))
draw_plan(source, measure, Budget(epochs=1), Batching(2, 1), seed=0)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
