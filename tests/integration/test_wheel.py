"""The wheel in a fresh environment, used in an empty folder: what somebody has after `pip install gcsl-cli`."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gcsl_cli import __version__

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).parents[2]
Lines = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(folder, sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("gcsl_cli-*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of commands of an environment that has the wheel and what it depends on, in the tested versions."""
    folder = tmp_path_factory.mktemp("environment")
    run(folder, sys.executable, "-m", "venv", str(folder))
    index = ["--extra-index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    install = ["install", "--quiet", "--no-compile", "--constraint", str(ROOT / "constraints.txt"), *index, str(wheel)]
    run(folder, str(folder / "bin/python"), "-m", "pip", *install)
    return folder / "bin"


def run(folder: Path, *command: str) -> str:
    """What a command that has to end well writes on stdout; it sees neither this checkout nor its environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_wheel_holds(wheel: Path) -> None:
    """Every config, the licence, and no test."""
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"gcsl_cli/conf/{name}" for name in configs} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"gcsl_cli", f"gcsl_cli-{__version__}.dist-info"}


def test_it_says_what_it_is(scripts: Path, tmp_path: Path) -> None:
    assert run(tmp_path, str(scripts / "gcsl"), "--version") == f"gcsl {__version__}\n"
    assert run(tmp_path, str(scripts / "python"), "-m", "gcsl_cli", "--version") == f"gcsl {__version__}\n"
    found = run(tmp_path, str(scripts / "gcsl"), "train", "--help")
    assert all(name in found for name in ("threshold", "smollm2-135m", "gcsl train "))
    assert list(tmp_path.iterdir()) == []


def test_doctor(scripts: Path, tmp_path: Path) -> None:
    found = json.loads(run(tmp_path, str(scripts / "gcsl"), "doctor", "--json"))
    assert __version__ in json.dumps(found)
    assert "torch" in run(tmp_path, str(scripts / "gcsl"), "doctor")
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_in_an_empty_folder(scripts: Path, tmp_path: Path, small_run: Lines) -> None:
    """First dry, which leaves no run behind, then for good."""
    lines = [*small_run(Path("runs")), "task.feedback.prompts=30"]
    document = json.loads(run(tmp_path, str(scripts / "gcsl"), "prepare", *lines, "dry_run=true", "--json"))
    assert document["status"] == "dry run"
    assert [path.name for path in tmp_path.glob("runs/*")] in ([], [".hydra"])
    document = json.loads(run(tmp_path, str(scripts / "gcsl"), "train", *lines, "--json"))
    assert (tmp_path / document["run"] / "model/model.safetensors").is_file()
