"""The command line with fake stages: exit codes, stdout, multiruns."""

import errno
import json
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gcsl_cli import __version__
from gcsl_cli.__main__ import main as start
from gcsl_cli.cli import commands as cli
from gcsl_cli.configs.schema import Config
from gcsl_cli.errors import DataError, TrainingError
from tests.commands import Ended

pytestmark = pytest.mark.usefixtures("remembered_composition")

Stage = Callable[[Config], dict[str, Any]]
Run = Callable[..., Ended]


def done(config: Config) -> dict[str, Any]:
    return {
        "stage": "train",
        "status": "done",
        "run": f"runs/seed{config.seed}",
        "columns": {"loss": 0.5 + config.seed},
    }


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], None]:
    """Replace the train stage with a function, in an empty working folder with a task of one key."""
    task = types.ModuleType("gcsl_cli.tasks.tiny")
    source = "from dataclasses import dataclass, field\n@dataclass\nclass TinyTask:\n"
    exec(f"{source}    levels: list[float] = field(default_factory=list)\n", task.__dict__)
    monkeypatch.setitem(sys.modules, task.__name__, task)
    (tmp_path / "conf/task").mkdir(parents=True)
    (tmp_path / "conf/task/tiny.yaml").write_text("_target_: gcsl_cli.tasks.tiny.TinyTask\nlevels: [0.5]\n")
    monkeypatch.chdir(tmp_path)

    def put(run: Stage) -> None:
        module = types.ModuleType("gcsl_cli.stages.train")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)

    put(done)
    return put


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def start(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return start


def train(run: Run, *arguments: str) -> Ended:
    return run("train", "task=tiny", "--config-dir", "conf", *arguments)


def test_version(run: Run) -> None:
    ended = run("--version")
    assert (ended.code, ended.out) == (0, f"gcsl {__version__}\n")


def test_help_names_every_command(run: Run) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        ended = run(*arguments)
        assert ended.code == 0
        assert all(name in ended.out for name in ("prepare", "train", "generate", "evaluate", "inspect", "doctor"))


@pytest.mark.parametrize("command", ["prepare", "train", "generate", "evaluate"])
def test_help_of_a_stage_names_groups_and_examples(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.code == 0
    assert "smollm2-135m" in ended.out
    assert f"gcsl {command} " in ended.out


def test_a_run(stage: Callable[[Stage], None], run: Run) -> None:
    ended = train(run, "seed=7")
    assert (ended.code, ended.out, ended.err) == (0, "train: done, runs/seed7\n", "")
    assert not Path("seed7").exists()


def test_a_run_as_json(stage: Callable[[Stage], None], run: Run) -> None:
    """Output of a stage goes to stderr; a number that JSON cannot represent becomes null."""

    def noisy(config: Config) -> dict[str, Any]:
        print("noise of a library")
        return done(config) | {"summary": [["loss", float("nan")]]}

    stage(noisy)
    ended = train(run, "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "stage": "train",
        "status": "done",
        "run": "runs/seed0",
        "columns": {"loss": 0.5},
        "summary": [["loss", None]],
        "exit_code": 0,
    }
    assert "noise of a library" in ended.err


def test_a_stage_gets_the_whole_config(stage: Callable[[Stage], None], run: Run) -> None:
    seen: list[Config] = []

    def look(config: Config) -> dict[str, Any]:
        seen.append(config)
        return done(config)

    stage(look)
    train(run, "train.budget.epochs=2")
    assert type(seen[0]) is Config
    assert (seen[0].train.budget.epochs, seen[0].task.levels) == (2.0, [0.5])


def fail_with(error: BaseException) -> Stage:
    def fail(config: Config) -> dict[str, Any]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("rows.jsonl:3: no score."), 2, "Error: rows.jsonl:3: no score."),
        (TrainingError("loss is nan at step 7."), 1, "Error: loss is nan at step 7."),
        (KeyError("x"), 1, "KeyError: 'x'. This looks like a bug; GCSL_DEBUG=1 shows the traceback."),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), 2, "The disk is full while writing runs/a."),
        (RuntimeError("safetensors: No space left on device (os error 28)"), 2, "The disk is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "train.micro_batch_size"),
        (MemoryError(), 1, "Out of memory"),
        (SystemExit(3), 1, "A library exited the process early (exit code 3)"),
        (KeyboardInterrupt(), 130, "Interrupted. Finished work is saved; run the same command to resume."),
    ],
)
def test_failures_of_a_stage(
    stage: Callable[[Stage], None], run: Run, error: BaseException, code: int, said: str
) -> None:
    stage(fail_with(error))
    ended = train(run)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_an_interrupt_as_json(stage: Callable[[Stage], None], run: Run) -> None:
    stage(fail_with(KeyboardInterrupt()))
    ended = train(run, "--json")
    message = "Interrupted. Finished work is saved; run the same command to resume."
    assert json.loads(ended.out) == {"status": "interrupted", "message": message, "exit_code": 130}


def test_sigterm_is_like_ctrl_c(stage: Callable[[Stage], None], run: Run) -> None:
    def terminated(config: Config) -> dict[str, Any]:
        signal.raise_signal(signal.SIGTERM)
        return done(config)

    before = signal.getsignal(signal.SIGTERM)
    stage(terminated)
    ended = train(run)
    assert (ended.code, ended.out) == (143, "")
    assert ended.err.endswith("Terminated. Finished work is saved; run the same command to resume.\n")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_command_is_imported(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sent: signal.Signals, code: int
) -> None:
    class Importing(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            signal.raise_signal(sent)

    monkeypatch.setitem(sys.modules, "gcsl_cli.cli.commands", Importing("gcsl_cli.cli.commands"))
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == code
    assert capsys.readouterr().err.endswith("Finished work is saved; run the same command to resume.\n")


def test_a_failure_as_json(stage: Callable[[Stage], None], run: Run) -> None:
    stage(fail_with(DataError("rows.jsonl:3: no score.")))
    expected = {"stage": "train", "status": "failed", "message": "rows.jsonl:3: no score.", "exit_code": 2}
    assert json.loads(train(run, "--json").out) == expected


def test_debug_shows_the_traceback(stage: Callable[[Stage], None], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_DEBUG", "1")
    stage(fail_with(KeyError("x")))
    assert "Traceback" in train(run).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train", "--mutirun"], "--mutirun: no such option. Did you mean --multirun?"),
        (["train", "-x"], "-x: no such option. Options: --multirun,"),
        (["train", "--cfg", "jobs"], "--cfg jobs: expected job, hydra, all. Did you mean job?"),
        (["train", "--info", "nothing"], "--info nothing: expected all, "),
        (["train", "--cfg", "job", "-m"], "--cfg and --multirun cannot be combined"),
        (["train", "--resolve"], "--resolve only works with --cfg"),
        (["train", "goal=treshold"], "goal=treshold: no such option. Did you mean threshold?"),
        (["train", "tsk=toxicity"], "Did you mean task?"),
        (["train", "seed=0,1"], "add -m"),
        (["train", "-m", "goal=threshold,treshold"], "goal=treshold: no such option."),
        (["train", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder."),
        (["train", "--cfg", "job", "-p", "nope"], "--package nope: not a node with a value. Nodes: adapter, "),
        (["train", "--cfg", "job", "-p", "run"], "--package run: not a node with a value."),
        (["train", "--cfg", "hydra", "-p", "train"], "--package train: not a node with a value. Nodes: hydra."),
        (["train", "-m", "seed=range(0)"], "seed=range(0): has no values"),
        (["train", "hydra.run.dir=/proc/x"], "Cannot write /proc/x: "),
        (["train", os.fsdecode(b"task.path=\xff.jsonl")], "task.path=\\xff.jsonl: not valid UTF-8. If it is the name"),
        (["score", os.fsdecode(b"\xff.jsonl"), "scorer=length"], "\\xff.jsonl: not valid UTF-8."),
        (
            ["train", 'task.grades={"a b":1}'],
            "the keys of {...} take no quotes and only plain characters: 'task.grades={",
        ),
    ],
)
def test_bad_usage(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    """Exit 2, one line, and nothing written."""
    monkeypatch.chdir(tmp_path)
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_config_as_json(run: Run) -> None:
    assert "cannot be combined" in json.loads(run("train", "--cfg", "job", "--json").out)["message"]
    document = json.loads(run("train", "--json", "goal=treshold").out)
    assert (document["status"], document["exit_code"]) == ("failed", 2)


def test_a_value_out_of_range_starts_no_job(stage: Callable[[Stage], None], run: Run) -> None:
    ended = train(run, "-m", "train.batch_size=8,0")
    assert (ended.code, ended.out) == (2, "")
    assert "train.batch_size=0: must be a whole number of at least 1." in ended.err
    assert not Path("runs").exists()


def test_config_is_shown(stage: Callable[[Stage], None], run: Run) -> None:
    ended = train(run, "--cfg", "job", "seed=7")
    assert ended.code == 0
    assert "\nseed: 7\n" in ended.out
    assert run("train", "task=tiny", "--config-dir", "conf", "-c", "job", "-p", "goal").out.startswith(
        "# @package goal\n"
    )
    assert not Path("runs").exists()


def test_hydras_info_is_shown(stage: Callable[[Stage], None], run: Run) -> None:
    ended = train(run, "--info", "searchpath")
    assert ended.code == 0
    assert "command-line" in ended.out


def one_fails(config: Config) -> dict[str, Any]:
    if config.seed == 2:
        raise DataError("rows.jsonl:3: no score.")
    return done(config)


def test_a_multirun_of_four_with_one_that_fails(stage: Callable[[Stage], None], run: Run) -> None:
    """All four run and appear in the table; the exit code is that of the failed one."""
    stage(one_fails)
    ended = train(run, "-m", "seed=0,1,2,3")
    assert ended.code == 2
    assert "train, run 1 of 4: task=tiny seed=0" in ended.err
    assert "Error: run 3 of 4 failed: rows.jsonl:3: no score." in ended.err
    assert all(f"runs/seed{seed}" in ended.out for seed in (0, 1, 3))
    assert "rows.jsonl:3: no score." in ended.out


def test_a_multirun_as_json(stage: Callable[[Stage], None], run: Run) -> None:
    stage(one_fails)
    ended = train(run, "-m", "--json", "seed=0,1,2,3")
    jobs = json.loads(ended.out)["jobs"]
    assert [job["exit_code"] for job in jobs] == [0, 0, 2, 0]
    assert [job["overrides"][-1] for job in jobs] == ["seed=0", "seed=1", "seed=2", "seed=3"]
    assert jobs[2]["message"] == "rows.jsonl:3: no score."
    assert jobs[3]["columns"] == {"loss": 3.5}


def test_the_worst_code_of_a_multirun_wins(stage: Callable[[Stage], None], run: Run) -> None:
    def fail(config: Config) -> dict[str, Any]:
        raise (TrainingError("1"), DataError("2"))[config.seed]

    stage(fail)
    assert train(run, "-m", "seed=0,1").code == 2
    assert train(run, "-m", "seed=0,0").code == 1


def test_a_library_that_exits_does_not_end_a_multirun(stage: Callable[[Stage], None], run: Run) -> None:
    def leave(config: Config) -> dict[str, Any]:
        if config.seed == 0:
            raise SystemExit(0)
        return done(config)

    stage(leave)
    jobs = json.loads(train(run, "-m", "--json", "seed=0,1").out)["jobs"]
    assert [job["exit_code"] for job in jobs] == [1, 0]


def test_an_interrupt_ends_a_multirun(stage: Callable[[Stage], None], run: Run) -> None:
    seeds: list[int] = []

    def interrupt(config: Config) -> dict[str, Any]:
        seeds.append(config.seed)
        raise KeyboardInterrupt

    stage(interrupt)
    assert train(run, "-m", "seed=0,1").code == 130
    assert seeds == [0]


def test_a_launcher_that_cannot_start(stage: Callable[[Stage], None], run: Run) -> None:
    """It is a mistake in its values, not a failure of the jobs."""
    ended = train(run, "-m", "--json", "hydra/launcher=joblib", "hydra.launcher.prefer=nope", "seed=0,1")
    jobs = json.loads(ended.out)["jobs"]
    assert (ended.code, [job["exit_code"] for job in jobs]) == (2, [2, 2])
    assert "prefer=nope is not a valid backend hint" in jobs[0]["message"]
    assert "Check the values of hydra.launcher" in jobs[0]["message"]


def test_a_runs_folder_that_links_to_itself(stage: Callable[[Stage], None], run: Run) -> None:
    Path("loop").symlink_to("loop")
    ended = train(run, "runs_dir=loop")
    assert (ended.code, ended.out) == (2, "")
    assert "Cannot write loop/.hydra: Too many levels of symbolic links" in ended.err


def test_an_unwritable_runs_folder(stage: Callable[[Stage], None], run: Run) -> None:
    Path("file").write_text("")
    ended = train(run, "runs_dir=file/runs")
    assert (ended.code, ended.out) == (2, "")
    assert "Cannot write file/runs/.hydra" in ended.err


def test_a_full_disk_while_an_outcome_is_written(
    stage: Callable[[Stage], None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    stage(lambda config: monkeypatch.setattr(Path, "replace", full) or done(config))
    ended = train(run)
    assert ended.code == 2
    assert "The disk is full" in ended.err


# inspect


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Replace the inspection; collect what it is called with."""
    calls: list[tuple[Any, ...]] = []

    def inspect(file: str, lines: list[str], **options: Any) -> dict[str, Any]:
        calls.append((file, lines, options["first"]))
        return {"message": "as gcsl reads it", "summary": [["file", "3 rows"]], "rows": 3}

    module = types.ModuleType("gcsl_cli.stages.inspection")
    module.run = inspect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_inspect_passes_overrides_on_and_prints_the_summary(inspected: list[tuple[Any, ...]], run: Run) -> None:
    ended = run("inspect", "my file.jsonl", "task.scale=[0,4]", "--rows", "0")

    assert (ended.code, ended.out.split()) == (0, ["as", "gcsl", "reads", "it", "file", "3", "rows"])
    assert inspected == [("my file.jsonl", ["task.scale=[0,4]"], None)]


def test_inspect_as_json(inspected: list[tuple[Any, ...]], run: Run) -> None:
    ended = run("inspect", "my.jsonl", "--json")

    assert json.loads(ended.out)["rows"] == 3
    assert inspected == [("my.jsonl", [], 50_000)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("my.jsonl", "--row=3"), "No such option: --row"),
        (("my.jsonl", "--rows", "-1"), "--rows -1: must be at least 1"),
        ((), "Missing argument 'FILE'"),
    ],
)
def test_misuse_of_inspect(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ended = run("inspect", *arguments)

    assert ended.code == 2
    assert message in ended.err
