"""The worker process: when it runs, and what is said when it ends."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.errors import SamplingError
from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment
from gcsl_cli.generation.backends.vllm_process import Engines, Worker

ECHO = """
import json, os, sys
if sys.argv[2:] == ["check"]:
    print(json.dumps({"version": "0.32.0"}))
else:
    for line in sys.stdin:
        message = json.loads(line)
        if "exit" in message:
            print("\\n".join(f"line {number}" for number in range(20)), file=sys.stderr)
            sys.exit(message["exit"])
        print(json.dumps({"message": message, "ranks": sorted({"RANK", "WORLD_SIZE"} & set(os.environ))}), flush=True)
"""
Wrapper = Callable[[str], str]


@pytest.fixture
def echo(wrapper: Wrapper, tmp_path: Path) -> VllmEnvironment:
    """An interpreter whose worker sends messages back, or ends when it is told to."""
    (tmp_path / "echo.py").write_text(ECHO, encoding="utf-8")
    return VllmEnvironment(wrapper(f'exec {sys.executable} {tmp_path / "echo.py"} "$@"'))


def running(worker: Worker) -> bool:
    return worker.process.poll() is None


def test_one_worker_runs_until_the_end_of_the_outermost_block(echo: VllmEnvironment) -> None:
    engines = Engines()
    with engines.kept():
        with engines.kept():
            first = engines.worker(echo, {"model": "a"})
        assert engines.worker(echo, {"model": "a"}) is first
        assert first.ask({"a": 1})["message"] == {"a": 1}
        second = engines.worker(echo, {"model": "b"})
        assert not running(first)
        assert running(second)
    assert not running(second)


def test_a_worker_ends_with_an_error_in_the_block(echo: VllmEnvironment) -> None:
    workers: list[Worker] = []

    def interrupted() -> None:
        with (engines := Engines()).kept():
            workers.append(engines.worker(echo, {}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not running(workers[0])


def test_a_worker_is_no_rank(echo: VllmEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (engines := Engines()).kept():
        assert engines.worker(echo, {}).ask({})["ranks"] == []


def test_the_last_lines_of_a_worker_that_ends(echo: VllmEnvironment) -> None:
    with (engines := Engines()).kept():
        worker = engines.worker(echo, {})
        with pytest.raises(SamplingError) as error:
            worker.ask({"exit": 3})
    assert error.value.exit_code == 1
    said = str(error.value)
    assert said.startswith("The vLLM process ended with exit code 3. Finished shards are kept; run the same command")
    assert said.endswith("Its last lines:\n" + "\n".join(f"  line {number}" for number in range(10, 20)))


def test_an_engine_that_does_not_start(echo: VllmEnvironment) -> None:
    with (engines := Engines()).kept(), pytest.raises(SamplingError, match="ended with exit code 4"):
        engines.worker(echo, {"exit": 4})


def test_a_worker_that_is_killed(echo: VllmEnvironment) -> None:
    with (engines := Engines()).kept():
        worker = engines.worker(echo, {})
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        for _ in range(2):
            with pytest.raises(SamplingError, match=r"The vLLM process was ended by SIGKILL\."):
                worker.ask({})


def test_a_folder_is_made_once_and_removed_at_the_end(tmp_path: Path) -> None:
    made: list[Path] = []

    def fill(folder: Path) -> Any:
        made.append(folder)
        (folder / "weights").touch()

    with (engines := Engines()).kept():
        folder = engines.folder(tmp_path / "model", fill)
        assert engines.folder(tmp_path / "model", fill) == folder
        assert [path.name for path in folder.iterdir()] == ["weights"]
        assert folder.parent == tmp_path
    assert made == [folder]
    assert not folder.exists()
