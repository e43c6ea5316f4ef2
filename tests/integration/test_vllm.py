"""An experiment that samples with vLLM, of which there is a double: it gives what transformers gives."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gcsl_cli.generation.backends.vllm_environment import VllmEnvironment
from gcsl_cli.generation.backends.vllm_process import Worker
from tests import outputs
from tests.commands import Ended, gcsl

if TYPE_CHECKING:
    from gcsl_cli.data.records import Generation

Lines = Callable[[Path], list[str]]
GREEDY = ["generation.temperature=0.001", "task.feedback.temperature=0.001", "task.feedback.max_new_tokens=8"]
EXPERIMENT = [*GREEDY, "adapter=lora", "adapter.r=4", "train.learning_rate=0.01", "generation.guidance=2"]
ADAPTER = "export.merged=false"


@pytest.fixture(scope="module")
def vllm(vllm_double: str) -> list[str]:
    return ["generation.backend=vllm", f"generation.vllm.python={vllm_double}"]


def completions(runs: Path) -> "dict[str, list[Generation]]":
    """Completions of every arm by its name, without the identity."""
    return {name.rpartition("-")[0]: rows for name, rows in outputs.generations(runs).items()}


def keys(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["keys"]
    return found


def test_interrupted_and_resumed_it_gives_what_hf_gives(
    small_run: Lines, vllm: list[str], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rollouts, base and policy, guided or not; the policy is an adapter. The worker ends in its third request."""

    def evaluate(name: str, *more: str) -> Ended:
        return gcsl("evaluate", *small_run(tmp_path / name), *EXPERIMENT, ADAPTER, *more, "--json")

    monkeypatch.setenv("VLLM_DOUBLE_ENDS_AT", "3")
    failed = evaluate("vllm", *vllm)
    monkeypatch.delenv("VLLM_DOUBLE_ENDS_AT")
    assert failed.code == 1
    assert "ended with exit code 3. Finished shards are kept; run the same command" in failed.err
    assert failed.err.rstrip().endswith("MemoryError: the double is out of memory")
    assert "Traceback" not in failed.err
    shards = outputs.only(tmp_path / "vllm", "toxicity/feedback-*/shards")
    written = {path.name: path.stat().st_mtime_ns for path in shards.iterdir()}
    assert sorted(written) == ["00000.parquet", "00001.parquet"]

    models: list[str] = []
    start = Worker.__init__

    def started(worker: Worker, environment: VllmEnvironment, settings: Mapping[str, Any]) -> None:
        models.append(Path(settings["model"]).name)
        start(worker, environment, settings)

    monkeypatch.setattr(Worker, "__init__", started)
    hf, resumed = evaluate("hf"), evaluate("vllm", *vllm)

    assert (hf.code, resumed.code) == (0, 0), resumed.err
    assert all((shards / name).stat().st_mtime_ns == time for name, time in written.items())
    one, two = (outputs.training(tmp_path / name) for name in ("hf", "vllm"))
    assert outputs.feedback(tmp_path / "vllm") == outputs.feedback(tmp_path / "hf")
    assert outputs.losses(two) == outputs.losses(one)
    assert completions(tmp_path / "vllm") == completions(tmp_path / "hf")
    assert sorted(completions(tmp_path / "hf")) == ["base", "base-best", "base-best-w2", "best", "best-w2", "worst"]
    assert models[:2] == [tiny_model.name] * 2  # for rollouts, then for completions of base
    assert len(models) == 3
    assert re.fullmatch(r"\.model-.*\.part", models[2])  # the adapter, merged
    assert not list(two.glob(".*.part"))
    compared = [json.loads(ended.out)["result"]["compared_by"]["sampling"] for ended in (hf, resumed)]
    assert compared[1] == f"{compared[0]}, backend vllm"


def test_the_backend_names_what_it_sampled(small_run: Lines, vllm: list[str], rtp: Path, tmp_path: Path) -> None:
    """Given feedback and the run that is trained on it are the same; folders of hf are named as they always were."""
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null"]
    lines = [*small_run(tmp_path), *EXPERIMENT, *given, "generation.guidance=0"]
    assert [gcsl("generate", *lines, *more).code for more in ([], vllm)] == [0, 0]

    run = outputs.training(tmp_path)
    assert not {"backend", "vllm"} & keys(outputs.only(tmp_path, "toxicity/feedback-*")).keys()
    plain, other = sorted((keys(folder) for folder in (run / "generations").iterdir()), key=len)
    assert other == {**plain, "backend": "vllm"}
    again = gcsl("generate", *lines, *vllm)
    assert again.out.startswith("These completions are finished")


def test_rounds_sample_the_policy_with_it(small_run: Lines, vllm: list[str], tmp_path: Path) -> None:
    rounds = ["rounds.count=2", "task.feedback.prompts=10", "adapter=none"]

    def train(name: str, *more: str) -> Ended:
        return gcsl("train", *small_run(tmp_path / name), *EXPERIMENT, *rounds, *more)

    assert [train("hf").code, train("vllm", *vllm).code] == [0, 0]
    shards = "toxicity/feedback-*-round2-*/shards/*/*.parquet"
    assert len(list((tmp_path / "vllm").glob(shards))) == len(list((tmp_path / "hf").glob(shards))) > 1
    found = keys(outputs.only(tmp_path / "vllm", "toxicity/feedback-*-round2-*"))
    assert {**found["round"], "backend": ""} == {  # type: ignore[dict-item]
        **keys(outputs.only(tmp_path / "hf", "toxicity/feedback-*-round2-*"))["round"],  # type: ignore[dict-item]
        "backend": "",
    }


@pytest.mark.parametrize("more", [[], ["dry_run=true"]])
@pytest.mark.parametrize("stage", ["train", "generate", "evaluate"])
def test_a_missing_interpreter_is_found_before_any_work(
    stage: str, more: list[str], small_run: Lines, rtp: Path, tmp_path: Path
) -> None:
    """Given feedback, so that nothing is sampled before training: `train` needs vLLM for rounds only."""
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null"]
    sampled = [] if stage == "train" else given
    missing = ["generation.backend=vllm", f"generation.vllm.python={tmp_path}/bin/python"]
    ended = gcsl(stage, *small_run(tmp_path / "runs"), *EXPERIMENT, *sampled, *missing, *more)

    assert ended.code == 2
    assert f"generation.vllm.python={tmp_path}/bin/python: no such file. Give the Python interpreter" in ended.err
    assert not list((tmp_path / "runs").glob("toxicity/threshold-*"))


def test_a_finished_run_does_not_need_vllm(small_run: Lines, vllm: list[str], rtp: Path, tmp_path: Path) -> None:
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null"]
    lines = [*small_run(tmp_path), *EXPERIMENT, *given, "evaluation.levels=[best]", "evaluation.base=false"]
    assert gcsl("evaluate", *lines, *vllm).code == 0

    again = gcsl("evaluate", *lines, "generation.backend=vllm", "generation.vllm.python=/nowhere/python")
    assert again.out.startswith("This evaluation is finished")


def test_a_config_file_does_not_choose_a_program(small_run: Lines, tmp_path: Path) -> None:
    path = tmp_path / "conf/experiment/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\ngeneration: {vllm: {python: /bin/false}}\n", encoding="utf-8")
    lines = ["train", "--config-dir", str(tmp_path / "conf"), "experiment=mine", *small_run(tmp_path), "dry_run=true"]

    refused = gcsl(*lines)
    assert refused.code == 2
    assert "generation.vllm.python=/bin/false: a config file names a program to run. If you trust it," in refused.err
    assert gcsl(*lines, "allow_custom_code=true").code == 0
    assert gcsl(*lines, "generation.vllm.python=/bin/true").code == 0


def test_an_unknown_backend(small_run: Lines, tmp_path: Path) -> None:
    ended = gcsl("generate", *small_run(tmp_path), "generation.backend=vlm")

    assert ended.code == 2
    assert "generation.backend=vlm: expected one of: hf, vllm. Did you mean vllm?" in ended.err
