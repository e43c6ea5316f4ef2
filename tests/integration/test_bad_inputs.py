"""Bad inputs through the real command line: exit 2, a short message that names the place, nothing half-written."""

import errno
import json
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import outputs
from tests.commands import Ended, gcsl, gcsl_until
from tests.inputs import write_rtp

Lines = Callable[[Path], list[str]]


def assert_refused(ended: Ended, said: str, runs: Path) -> None:
    """Exit 2, a few lines at most, and no file that looks finished or is half-written."""
    assert (ended.code, ended.out) == (2, "")
    error = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert len(error) == 1, ended.err
    assert re.search(said, error[0]), error[0]
    assert len(error[0]) < 500
    assert "Traceback" not in ended.err
    assert [path for path in runs.rglob(".*") if path.name not in {".lock", ".hydra"}] == []
    for manifest in runs.rglob("manifest.json"):
        assert outputs.finished(manifest.parent) == (manifest.parent / "feedback.parquet").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"rtp\.jsonl: the file is empty"),
        ("\n\n", r"rtp\.jsonl: the file is empty"),
        ("{row}\n{broken\n", r"rtp\.jsonl:2: not valid JSON"),
        ('{row}\n{row}\n{"prompt": {"text": "a"}}\n', r"rtp\.jsonl:3: 'continuation' is missing"),
        ('{row}\n{"prompt": {"text": "a"}, "continuation": {"text": "b"}}\n', r"rtp\.jsonl:2: continuation\.toxicity"),
        (
            '{"prompt": {"text": "a"}, "continuation": {"text": "b", "toxicity": "high"}}\n',
            r"rtp\.jsonl:1: continuation\.toxicity is 'high'\. Expected a number from 0 to 1",
        ),
        ('{"prompt": {"text": "a"}, "continuation": {"text": "b", "toxicity": NaN}}\n', r"rtp\.jsonl:1: .*nan"),
        ('{"prompt": {"text": "a"}, "continuation": {"text": "b", "toxicity": 1.5}}\n', r"rtp\.jsonl:1: .*1\.5"),
        ("\xff", r"rtp\.jsonl:1: not UTF-8"),
    ],
)
def test_a_broken_feedback_file(tmp_path: Path, small_run: Lines, content: str, said: str) -> None:
    row = '{"prompt": {"text": "a b c"}, "continuation": {"text": " d", "toxicity": 0.5}}'
    (tmp_path / "rtp.jsonl").write_bytes(content.replace("{row}", row).encode("latin-1"))
    for stage in ("prepare", "evaluate"):
        ended = gcsl(stage, *small_run(tmp_path / "runs"), *given(tmp_path / "rtp.jsonl"))
        assert_refused(ended, said, tmp_path / "runs")


def test_a_feedback_file_that_is_not_there(tmp_path: Path, small_run: Lines) -> None:
    ended = gcsl("train", *small_run(tmp_path / "runs"), *given(tmp_path / "nowhere.jsonl"))
    assert_refused(ended, r"nowhere\.jsonl", tmp_path / "runs")
    ended = gcsl("train", *small_run(tmp_path / "runs"), "task.feedback.source=rtp")
    assert_refused(ended, r"task\.feedback\.path", tmp_path / "runs")


def test_scores_that_are_all_equal(tmp_path: Path, small_run: Lines) -> None:
    write_rtp(tmp_path / "rtp.jsonl", [0.5] * 90)
    ended = gcsl("train", *small_run(tmp_path / "runs"), *given(tmp_path / "rtp.jsonl"))
    assert_refused(ended, r"scores are 0\.5: .*no goal to learn", tmp_path / "runs")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("goal.levels.values=[5]", r"no row reaches the level 5; the training scores range from 0\.02 to 1"),
        ("generation.target=-3", r"target.*-3"),
        ("goal.target=-3", r"target.*-3"),
        ("task.format=chatty", r"task\.format=chatty"),
        ("task.instruction=none", r"task\.instruction='none'.*\{prompt\}"),
        ("task.feedback.source=dreams", r"task\.feedback\.source=dreams.*rollouts, rtp"),
        ("train.batch_size=1000", r"batch"),
        ("goal.sentences=[one]", r"sentences"),
        ("goal.template='{level:.0f}'", r"goal\.template='{level:\.0f}' words 2 of 3 levels as '0'"),
        ("goal.template='{levl}'", r"goal\.template='{levl}': .* Did you mean level\?"),
        ("evaluation.discrimination_cut=-1", r"all held-out rows are on one side of it; their grades run from 0\."),
        ("adapter.target_modules=[q_proj,nope]", r"the model has no such module\. It has down_proj, .* v_proj"),
        ("adapter.target_modules='(('", r"not a regular expression"),
        ("run=/proc/x", r"Cannot write /proc/x"),
    ],
)
def test_a_value_that_does_not_fit_the_data(
    tmp_path: Path, small_run: Lines, rtp: Path, override: str, said: str
) -> None:
    ended = gcsl("evaluate", *small_run(tmp_path / "runs"), *given(rtp), override)
    assert_refused(ended, said, tmp_path / "runs")


def test_a_prompt_longer_than_the_context(tmp_path: Path, small_run: Lines, prompts: Path) -> None:
    long = tmp_path / "prompts.txt"
    long.write_text((prompts / "first.txt").read_text(encoding="utf-8") + "word " * 200 + "\n", encoding="utf-8")
    refusals = {
        "true": r"'word word .* tokens .*context of 512",
        "false": r"no room for 20 tokens .*context of 512: 'word word .*' \(\d+\)",
    }
    for dry_run, said in refusals.items():
        lines = [*small_run(tmp_path / "runs"), f"task.prompts_uri={long}", "generation.prompts=null"]
        ended = gcsl("evaluate", *lines, "task.feedback.prompts=null", f"dry_run={dry_run}")
        assert_refused(ended, said, tmp_path / "runs")


def test_too_few_prompts(tmp_path: Path, small_run: Lines) -> None:
    (tmp_path / "prompts.txt").write_text("one\ntwo\n", encoding="utf-8")
    ended = gcsl("train", *small_run(tmp_path / "runs"), f"task.prompts_uri={tmp_path / 'prompts.txt'}")
    assert_refused(ended, r"2 distinct prompts.*task\.split\.test=0", tmp_path / "runs")


def test_a_model_that_is_not_there(tmp_path: Path, small_run: Lines) -> None:
    ended = gcsl("train", *small_run(tmp_path / "runs"), f"model.uri={tmp_path / 'nowhere'}")
    assert_refused(ended, "nowhere", tmp_path / "runs")
    (tmp_path / "empty").mkdir()
    ended = gcsl("train", *small_run(tmp_path / "runs"), f"model.uri={tmp_path / 'empty'}")
    assert_refused(ended, r"no config\.json", tmp_path / "runs")


def test_a_model_with_cut_off_weights(tmp_path: Path, small_run: Lines, tiny_model: Path) -> None:
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    cut_off(broken / "model.safetensors")
    ended = gcsl("train", *small_run(tmp_path / "runs"), f"model.uri={broken}")
    assert_refused(ended, "weights cannot be loaded", tmp_path / "runs")


def test_a_folder_of_another_run(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    """The message says what is different; the run that is there stays as it is."""
    lines = [*small_run(tmp_path / "runs"), *given(rtp), f"run={tmp_path / 'mine'}"]
    assert gcsl("train", *lines).code == 0
    ended = gcsl("train", *lines, "seed=7", "train.learning_rate=0.1", "force=true")
    assert_refused(ended, r"mine contains another run: seed is 0 there and 7 here", tmp_path / "runs")
    assert outputs.finished(tmp_path / "mine")
    manifest = tmp_path / "mine/manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"format_version": 2', '"format_version": 99'))
    assert_refused(gcsl("generate", *lines), "format version 99; this gcsl .* reads 2", tmp_path / "runs")


def test_a_folder_that_is_no_run(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    """Not even force=true empties it."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("precious", encoding="utf-8")
    (tmp_path / "thesis/.git").mkdir()
    lines = [*small_run(tmp_path / "runs"), *given(rtp), f"run={tmp_path / 'thesis'}"]
    for force in ("false", "true"):
        assert_refused(gcsl("train", *lines, f"force={force}"), "not a run of gcsl", tmp_path / "runs")
    (tmp_path / "thesis/chapter1.tex").unlink()
    assert_refused(gcsl("train", *lines, "force=true"), "not a run of gcsl", tmp_path / "runs")
    assert (tmp_path / "thesis/.git").is_dir()


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("toxicity/feedback-*/feedback.parquet", "train"),
        ("toxicity/threshold-*/plan.parquet", "train"),
        ("toxicity/threshold-*/goal.json", "train"),
        ("toxicity/threshold-*/manifest.json", "train"),
        ("toxicity/threshold-*/generations/*/generations.parquet", "generate"),
    ],
)
def test_a_file_that_is_cut_off(tmp_path: Path, small_run: Lines, rtp: Path, file: str, stage: str) -> None:
    """The message names it and the way out, which works."""
    runs = tmp_path / "runs"
    lines = [*small_run(runs), *given(rtp)]
    before = {"train": "prepare", "generate": "generate"}[stage]
    assert gcsl(before, *lines).code == 0
    path = outputs.only(runs, file)
    cut_off(path)
    ended = gcsl(stage, *lines)
    assert (ended.code, ended.out) == (2, "")
    assert path.name in ended.err
    assert "Traceback" not in ended.err
    if "delete it" in ended.err.lower():
        path.unlink()
    if "delete the folder" in ended.err.lower():
        shutil.rmtree(path.parent)
    again = gcsl(stage, *lines, *(["force=true"] if "force=true" in ended.err else []))
    assert again.code == 0, (ended.err, again.err)


def test_a_checkpoint_that_is_cut_off(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    """It is said and not used: the training starts from the one before, or anew, with the same result."""
    lines = [*given(rtp), "adapter=none", "train.keep_checkpoints=2"]
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    gcsl_until("*/model", signal.SIGKILL, tmp_path, "train", *small_run(runs), *lines)
    kept = sorted(path.name for path in outputs.training(runs).glob("checkpoints/checkpoint-*"))
    assert kept == ["checkpoint-2", "checkpoint-4"]
    cut_off(outputs.training(runs) / "checkpoints/checkpoint-4/optimizer.pt")
    ended = gcsl("train", *small_run(runs), *lines)
    assert ended.code == 0, ended.err
    assert "checkpoint-4 is damaged (optimizer.pt is not what was written) and was removed" in ended.err
    assert "resuming from checkpoint-2" in ended.err
    assert gcsl("train", *small_run(whole), *lines).code == 0
    outputs.assert_same_training(outputs.training(runs), outputs.training(whole))


def test_a_full_disk(tmp_path: Path, small_run: Lines, rtp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it fills: exit 2, nothing half-written, and with room again the same command goes on."""
    lines = [*small_run(tmp_path / "runs"), *given(rtp)]
    real, room = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= 1
        real(descriptor)

    for files in (0, 1, 2, 4, 6):
        room = files
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            ended = gcsl("evaluate", *lines)
        assert (ended.code, ended.out) == (2, "")
        assert "The disk is full while writing " in ended.err
        assert [path for path in tmp_path.rglob(".*") if path.name not in {".lock", ".hydra"}] == []
    assert gcsl("evaluate", *lines).code == 0


@pytest.mark.parametrize("limit", [3_000, 130_000])
def test_a_full_disk_while_a_checkpoint_is_written(tmp_path: Path, small_run: Lines, rtp: Path, limit: int) -> None:
    """Weights are written by safetensors, the larger optimizer state by torch; neither gives the error a number."""
    lines = [*small_run(tmp_path / "runs"), *given(rtp), "adapter=none"]
    assert gcsl("prepare", *lines).code == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        ended = gcsl("train", *lines)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    written = {path.name for path in outputs.training(tmp_path / "runs").glob("checkpoints/checkpoint-2/*")}

    assert ended.code == 2, ended.err
    assert "The disk is full while writing " in ended.err
    assert ("model.safetensors" in written, "complete.json" in written) == (limit > 10_000, False)


def test_no_network_and_nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    ended = gcsl("train", "debug=tiny", f"runs_dir={tmp_path / 'runs'}")
    assert_refused(ended, r"pypi://.* cannot be downloaded and nothing of it is cached", tmp_path / "runs")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("GCSL_CACHE", str(tmp_path / "file/cache"))
    ended = gcsl("train", "debug=tiny", f"runs_dir={tmp_path / 'runs'}")
    assert_refused(ended, r"Cannot write .*file/cache.* GCSL_CACHE", tmp_path / "runs")


def test_a_failure_as_json(tmp_path: Path, small_run: Lines) -> None:
    """stdout has the one document, the message in it."""
    write_rtp(tmp_path / "rtp.jsonl", [0.5] * 90)
    ended = gcsl("train", *small_run(tmp_path / "runs"), *given(tmp_path / "rtp.jsonl"), "--json")
    document = json.loads(ended.out)
    assert (document["status"], document["exit_code"]) == ("failed", 2)
    assert "no goal to learn" in document["message"]


def given(path: Path) -> list[str]:
    return ["task.feedback.source=rtp", f"task.feedback.path={path}", "task.feedback.texts=null"]


def cut_off(path: Path) -> None:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
