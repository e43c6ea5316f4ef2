"""The environment of vLLM: what is wrong with it is said before anything is started."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gcsl_cli.errors import ConfigError, DependencyError
from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment

Wrapper = Callable[[str], str]


def test_the_version_is_that_of_the_named_interpreter(vllm_double: str) -> None:
    assert VllmEnvironment(vllm_double).check() == "0.32.0"


def test_a_version_that_was_not_tested(vllm_double: str, wrapper: Wrapper) -> None:
    old = wrapper(f'VLLM_DOUBLE_VERSION=0.9.1 exec {vllm_double} "$@"')

    with pytest.raises(DependencyError) as error:
        VllmEnvironment(old).check()
    assert str(error.value) == (
        f"generation.backend=vllm: {old} has vLLM 0.9.1; gcsl was tested with 0.32. Install that one there "
        f'({old} -m pip install "vllm==0.32.*"), or try yours with generation.vllm.any_version=true.'
    )
    assert VllmEnvironment(old, any_version=True).check() == "0.9.1"


def test_a_release_is_not_taken_for_one_that_begins_like_it(vllm_double: str, wrapper: Wrapper) -> None:
    with pytest.raises(DependencyError, match=r"has vLLM 0\.320\.1;"):
        VllmEnvironment(wrapper(f'VLLM_DOUBLE_VERSION=0.320.1 exec {vllm_double} "$@"')).check()


def test_vllm_is_missing() -> None:
    """gcsl's own environment does not have it."""
    with pytest.raises(DependencyError) as error:
        VllmEnvironment().check()
    assert str(error.value).startswith(
        f"generation.backend=vllm: {sys.executable} cannot import vLLM: ModuleNotFoundError: No module named 'vllm'. "
        f'Install it there ({sys.executable} -m pip install "vllm==0.32.*"), name the interpreter'
    )


def test_vllm_cannot_be_imported(wrapper: Wrapper) -> None:
    broken = wrapper("echo OSError: libtorchcodec.so: undefined symbol >&2; exit 1")

    with pytest.raises(DependencyError, match=r"cannot import vLLM: OSError: libtorchcodec.so: undefined symbol\. Ins"):
        VllmEnvironment(broken).check()


def test_a_program_that_is_no_python(wrapper: Wrapper) -> None:
    with pytest.raises(DependencyError, match="it ended with exit code 0 and without a message"):
        VllmEnvironment(wrapper("echo hello")).check()


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^generation.vllm.python=.*/bin/python: no such file. Give the Python"):
        VllmEnvironment(str(tmp_path / "bin/python")).check()
    with pytest.raises(ConfigError, match=f"^generation.vllm.python={tmp_path}: no such file"):
        VllmEnvironment(str(tmp_path)).check()


def test_not_executable(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.touch()

    with pytest.raises(ConfigError, match=r"/python: cannot be run \(Permission denied\). Give the Python interpreter"):
        VllmEnvironment(str(path)).check()


def test_a_path_may_be_relative_or_in_the_home_folder(vllm_double: str, monkeypatch: pytest.MonkeyPatch) -> None:
    double = Path(vllm_double)
    monkeypatch.chdir(double.parent)
    monkeypatch.setitem(os.environ, "HOME", str(double.parent))

    assert VllmEnvironment(double.name).command[0] == VllmEnvironment(f"~/{double.name}").command[0] == vllm_double
