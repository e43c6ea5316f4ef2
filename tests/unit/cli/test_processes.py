"""The command line in separate processes: imports at startup, file descriptors, closed pipes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
    return subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ["torch", "transformers", "trl", "hydra", "numpy", "pyarrow"]),
        (["train", "--help"], ["torch", "transformers", "trl", "hydra", "numpy", "pyarrow"]),
        (["train", "--cfg", "job"], ["torch", "transformers", "trl"]),
        (["train", "goal=treshold"], ["torch", "transformers", "trl"]),
    ],
)
def test_startup_imports_no_heavy_packages(tmp_path: Path, arguments: list[str], heavy: list[str]) -> None:
    """`gcsl --help` and `--cfg job` are fast because they do not import heavy packages."""
    ended = python(
        f"""
from gcsl_cli.cli.commands import main
try:
    main({arguments!r})
except SystemExit:
    loaded = [name for name in {heavy!r} if name in sys.modules]
    sys.exit(f"loaded: {{loaded}}")
""",
        tmp_path,
    )
    assert "loaded: []" in ended.stderr


def test_child_processes_cannot_write_on_stdout(tmp_path: Path) -> None:
    """Even at the level of file descriptor 1, stdout contains only the JSON document."""
    (tmp_path / "conf/task").mkdir(parents=True)
    (tmp_path / "conf/task/tiny.yaml").write_text("_target_: tiny.TinyTask\n")
    ended = python(
        """
import os, types
from dataclasses import dataclass

@dataclass
class TinyTask:
    name: str = "tiny"
    levels: list[float] | None = None

def run(config):
    print("noise of a library")
    os.system("echo noise of a child")
    return {"stage": "train", "status": "done", "run": "runs/x"}

sys.modules["tiny"] = types.ModuleType("tiny")
sys.modules["tiny"].TinyTask = TinyTask
sys.modules["gcsl_cli.stages.train"] = types.ModuleType("train")
sys.modules["gcsl_cli.stages.train"].run = run
from gcsl_cli.cli.commands import main
overrides = "task=tiny goal.levels.by=distinct goal.levels.values=[] allow_custom_code=true"
main(["train", *overrides.split(), "--config-dir", "conf", "--json"])
""",
        tmp_path,
    )
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"stage": "train", "status": "done", "run": "runs/x", "exit_code": 0}
    assert "noise of a child" in ended.stderr


def test_a_closed_pipe(tmp_path: Path) -> None:
    """`gcsl train --help | head -1` prints nothing on stderr."""
    command = f"PYTHONPATH={REPOSITORY} {sys.executable} -m gcsl_cli train --help | head -1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
