"""The wheel in a fresh environment, used in an empty folder: what somebody has after `pip install gcsl-cli`."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    """The folder of commands of an environment that has the wheel and what it depends on, in the tested versions.

    Its dependencies are links to those of this environment, which `make setup` has installed in these versions:
    installing them again takes minutes. What the wheel does not depend on, directly or indirectly, is not there.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(folder, sys.executable, "-m", "venv", "--without-pip", str(folder))
    packages = Path(
        run(folder, str(folder / "bin/python"), "-c", "import site; print(*site.getsitepackages())").strip()
    )
    needed: dict[str, Distribution] = {}
    collect(PathDistribution(zipfile.Path(wheel, f"gcsl_cli-{__version__}.dist-info/")), "", needed)
    for distribution in needed.values():
        link(distribution, packages)
    run(folder, str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    return folder / "bin"


def collect(distribution: Distribution, extra: str, needed: dict[str, Distribution]) -> None:
    """Add what a distribution with an extra requires, and all that is required by that, by name and extra."""
    for line in distribution.requires or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        found = metadata.distribution(requirement.name)
        assert requirement.specifier.contains(found.version, prereleases=True), (line, found.version)
        for one in ("", *requirement.extras):
            if (key := f"{canonicalize_name(requirement.name)}[{one}]") not in needed:
                needed[key] = found
                collect(found, one, needed)


def link(distribution: Distribution, packages: Path) -> None:
    """Link the modules and packages of an installed distribution; those of a namespace package one by one."""
    installed = Path(str(distribution.locate_file("")))
    for file in distribution.files or []:
        for depth in range(1, len(file.parts) + 1):
            part = Path(*file.parts[:depth])
            source, target = installed / part, packages / part
            whole = source.is_file() or (source / "__init__.py").exists() or part.suffix in {".dist-info", ".libs"}
            if ".." in part.parts or target.is_symlink():
                break
            if whole:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
                break


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
