"""One experiment from an empty folder through all four commands, on a tiny random model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import outputs
from tests.commands import gcsl
from tests.disks import make_read_only

Lines = Callable[[Path], list[str]]
EXPERIMENT = ["adapter=none", "generation.guidance=2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small_run: Lines) -> Path:
    """The runs folder of one `gcsl evaluate` in an empty folder; what it said is in `said` beside it."""
    runs = tmp_path_factory.mktemp("whole") / "runs"
    ended = gcsl("evaluate", *small_run(runs), *EXPERIMENT, "--json")
    assert ended.code == 0, ended.err
    (runs.parent / "out").write_text(ended.out, encoding="utf-8")
    return runs


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory, runs: Path, small_run: Lines) -> Path:
    """The same experiment in another folder, stage by stage."""
    again = tmp_path_factory.mktemp("again") / "runs"
    for stage in ("prepare", "train", "generate", "evaluate"):
        ended = gcsl(stage, *small_run(again), *EXPERIMENT)
        assert ended.code == 0, ended.err
        assert f"{stage}: done, {again}" in ended.out
    return again


def test_json_is_all_that_stdout_has(runs: Path) -> None:
    document = json.loads((runs.parent / "out").read_text(encoding="utf-8"))
    assert (document["stage"], document["status"], document["exit_code"]) == ("evaluate", "done", 0)
    assert Path(document["run"]) == outputs.only(runs, "toxicity/*/evaluations/*")
    assert [arm["label"] for arm in document["result"]["arms"]] == [
        "base, no goal",
        "base, asked for best",
        "base, asked, guidance 2",
        "trained, worst goal",
        "trained, best goal",
        "trained, best goal, guidance 2",
    ]


def test_a_run_folder_holds_what_the_run_was(runs: Path) -> None:
    run = outputs.training(runs)
    found = {path.name for path in run.iterdir() if path.name != ".lock"}
    assert found == {
        "config.yaml",
        "evaluations",
        "generations",
        "goal.json",
        "log.jsonl",
        "manifest.json",
        "model",
        "plan.parquet",
        "rows.parquet",
    }
    assert (run / "model/goal.json").read_bytes() == (run / "goal.json").read_bytes()
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["steps"] == 4
    assert 0 < manifest["supervised_tokens"] < manifest["tokens"]
    assert manifest["command"].startswith("gcsl evaluate debug=tiny")


def test_reports_stand_beside_the_numbers(runs: Path) -> None:
    folder = outputs.only(runs, "toxicity/*/evaluations/*")
    assert "trained, best goal" in (folder / "report.md").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page.replace('src="data:', "")


def test_completions_and_curves_belong_to_arms(runs: Path) -> None:
    """The report finds them by the arm's name."""
    folder = outputs.only(runs, "toxicity/*/evaluations/*")
    result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    arms = [arm["name"] for arm in result["arms"]]
    assert list(result["distributions"]) == arms
    assert {example["arm"] for example in result["examples"]} == set(arms)


def test_every_parameter_moved(runs: Path, tiny_model: Path) -> None:
    before, after = outputs.weights(tiny_model), outputs.weights(outputs.training(runs) / "model")
    assert before.keys() == after.keys()
    assert [name for name in before if np.array_equal(before[name], after[name])] == []


def test_the_model_is_one_for_plain_transformers(runs: Path) -> None:
    """`from_pretrained` takes it, and its chat template asks for the best goal."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = outputs.training(runs)
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    best = json.loads((run / "goal.json").read_text(encoding="utf-8"))["texts"][-1]
    turn = [{"role": "user", "content": "I wanted to"}]
    text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert text == f"{best}\nI wanted to"
    with torch.inference_mode():
        logits = model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits
    assert logits.isfinite().all()


def test_the_same_seed_gives_the_same_numbers(runs: Path, again: Path) -> None:
    """Although one run was made by one command and the other stage by stage."""
    outputs.assert_same_training(outputs.training(runs), outputs.training(again))
    assert outputs.feedback(runs) == outputs.feedback(again)
    assert outputs.generations(runs) == outputs.generations(again)
    assert outputs.metrics(runs) == outputs.metrics(again)


def test_the_same_line_names_the_same_run(runs: Path, again: Path) -> None:
    assert outputs.training(runs).name == outputs.training(again).name


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("prepare", "prepare: already done, "),
        ("train", "This run is finished: "),
        ("generate", "These completions are finished: "),
        ("evaluate", "This evaluation is finished: "),
    ],
)
def test_done_work_is_found(again: Path, small_run: Lines, stage: str, said: str) -> None:
    """The second time a command says that its work is done and where, and touches no file."""
    before = state(again)
    ended = gcsl(stage, *small_run(again), *EXPERIMENT)
    assert (ended.code, ended.out.startswith(said)) == (0, True)
    assert str(outputs.training(again)) in ended.out
    assert state(again) == before


@pytest.mark.parametrize("stage", ["prepare", "train", "generate", "evaluate"])
def test_finished_work_can_be_looked_at_on_a_read_only_disk(
    runs: Path, small_run: Lines, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    make_read_only(runs, monkeypatch)
    ended = gcsl(stage, *small_run(runs), *EXPERIMENT)

    assert (ended.code, f"{runs}/toxicity" in ended.out) == (0, True), ended.err
    if stage == "train":
        ended = gcsl("train", *small_run(runs), *EXPERIMENT, "force=true")
        assert ended.code == 2
        assert "Read-only file system. Choose a folder that you can write to" in ended.err


@pytest.mark.parametrize(
    ("file", "stage", "changed"),
    [
        ("threshold-*/model/model.safetensors", "generate", "generation.seed=1"),
        ("feedback-*/feedback.parquet", "prepare", "seed=1"),
        ("threshold-*/generations/best-w2-*/generations.parquet", "generate", ""),
        ("threshold-*/evaluations/*/metrics.json", "evaluate", ""),
    ],
)
def test_a_flipped_bit_in_a_finished_result_is_found(
    runs: Path, small_run: Lines, tmp_path: Path, file: str, stage: str, changed: str
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    path = outputs.only(tmp_path / "runs/toxicity", file)
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)
    lines = [*small_run(tmp_path / "runs"), *EXPERIMENT, *[changed] * bool(changed)]
    ended = gcsl(stage, *lines)

    assert (ended.code, ended.out) == (2, "")
    assert f"{path} is damaged: it is not what was written. " in ended.err
    if "Delete it and run the same command again." in ended.err:
        path.unlink()
        assert gcsl(stage, *lines).code == 0
    else:
        assert "Run gcsl train with force=true to train again." in ended.err


def test_another_seed_is_another_run_on_the_same_feedback(runs: Path, small_run: Lines) -> None:
    before = outputs.feedback(runs)
    made = outputs.only(runs, "toxicity/feedback-*/feedback.parquet").stat().st_mtime_ns
    ended = gcsl("train", *small_run(runs), *EXPERIMENT, "seed=1", f"run={runs.parent / 'other'}")
    assert ended.code == 0, ended.err
    assert outputs.feedback(runs) == before
    assert outputs.only(runs, "toxicity/feedback-*/feedback.parquet").stat().st_mtime_ns == made
    ours, theirs = (outputs.losses(run) for run in (outputs.training(runs), runs.parent / "other"))
    assert ours != theirs


def test_force_does_a_stage_again(again: Path, small_run: Lines, runs: Path) -> None:
    """With the same result; what stands on it follows by its own command."""
    run = outputs.training(again)
    before = (run / "model/model.safetensors").stat().st_mtime_ns
    ended = gcsl("train", *small_run(again), *EXPERIMENT, "force=true")
    assert (ended.code, "train: done, " in ended.out) == (0, True)
    assert (run / "model/model.safetensors").stat().st_mtime_ns != before
    outputs.assert_same_training(outputs.training(runs), run)
    assert gcsl("evaluate", *small_run(again), *EXPERIMENT).code == 0
    assert outputs.metrics(again) == outputs.metrics(runs)


def test_a_dry_run_writes_nothing(tmp_path: Path, small_run: Lines, rtp: Path) -> None:
    """It shows an example with its parts told apart, the plan, time and memory."""
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}"]
    for stage in ("prepare", "train", "generate", "evaluate"):
        ended = gcsl(stage, *small_run(tmp_path / "runs"), *given, "dry_run=true")
        assert ended.code == 0, ended.err
        assert all(word in ended.out for word in ("[goal: ", "[supervised: ", "4 steps", "memory", "device", "time"))
    assert left_behind(tmp_path) == []


def test_a_dry_run_of_rollouts_says_how_many(tmp_path: Path, small_run: Lines) -> None:
    ended = gcsl("train", *small_run(tmp_path / "runs"), "dry_run=true")
    assert (ended.code, "80 completions of the base model" in ended.out) == (0, True)
    assert "forward passes of up to 4 x 512 tokens" in " ".join(ended.out.split())
    assert left_behind(tmp_path) == []


def state(runs: Path) -> dict[str, int]:
    """Every file with the time of its last change, Hydra's own folder left out."""
    files = (path for path in runs.rglob("*") if path.is_file() and ".hydra" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in files if path.name != ".lock"}


def left_behind(folder: Path) -> list[Path]:
    """Files outside Hydra's own folder."""
    return [path for path in folder.rglob("*") if path.is_file() and ".hydra" not in path.parts]
