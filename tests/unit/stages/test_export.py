"""`gcsl export`: a trained model with its card, as a folder or on a double of the Hub."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import HfApi, ModelCard

from gcsl_cli.errors import ArtifactError, ConfigError, GcslError, RunError, StorageError
from gcsl_cli.goals.spec_file import save_spec
from gcsl_cli.models.loading import export_model, load_tokenizer
from gcsl_cli.models.prompting import Prompter
from gcsl_cli.runs.files import write_json
from gcsl_cli.runs.folders import Folder
from gcsl_cli.stages import export
from tests.unit.goals.toy import toy_spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ESTIMATE = {"value": 0.25, "low": 0.1, "high": 0.4, "n": 8, "left_out": 0}
RESULT: dict[str, Any] = {
    "task": "toy",
    "columns": [{"name": "mean", "label": "mean", "better": "higher"}],
    "arms": [{"name": "best", "label": "trained, best", "metrics": {"mean": ESTIMATE}, "difference": None}],
}
KEYS = {"method": {"label": "threshold-language"}, "seed": 0}


def run_folder(
    path: Path, policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", uri: str, **spec: Any
) -> Path:
    prompter, folder = Prompter(tokenizer, toy_spec(**spec)), Folder(path, "training", KEYS)
    with folder.working():
        save_spec(prompter.spec, path)
        (path / "config.yaml").write_text(f"model: {{uri: '{uri}'}}\n")
        export_model(policy, tokenizer, path / "model", prompter.template)
        folder.finish("model", steps=3, tokens=400)
    return path


@pytest.fixture
def trained(policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path) -> Path:
    return run_folder(tmp_path / "run", policy, tokenizer, "hf://meta-llama/Llama-3.1-8B-Instruct")


def evaluated(trained: Path, name: str, finished: str, value: float) -> None:
    folder = trained / "evaluations" / name
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"finished": finished})
    arm: dict[str, Any] = RESULT["arms"][0]
    changed = [{**arm, "metrics": {"mean": {**ESTIMATE, "value": value}}}]
    write_json(folder / "metrics.json", {**RESULT, "arms": changed})


def test_a_folder_gets_model_goal_and_card(trained: Path, tmp_path: Path) -> None:
    found = export.run(trained, str(tmp_path / "out/polite"), private=False)

    target = tmp_path / "out/polite"
    assert {"model.safetensors", "goal.json", "README.md", "chat_template.jinja"} <= {p.name for p in target.iterdir()}
    assert load_tokenizer(target).chat_template
    assert found["message"] == f"exported to {target}"
    assert [path.name for path in target.parent.iterdir()] == ["polite"]


def test_the_card_is_one_of_the_hub_and_names_goals_and_base(trained: Path, tmp_path: Path) -> None:
    export.run(trained, str(tmp_path / "polite"), private=False)
    card = ModelCard.load(tmp_path / "polite/README.md")

    assert card.data.base_model == "meta-llama/Llama-3.1-8B-Instruct"
    assert card.data.to_dict()["library_name"] == "transformers"
    for goal, text in (("worst", "Bad text."), ("0.5", "Fair text."), ("best", "Good text.")):
        assert f"| `{goal}` | {text} |" in card.text
    assert "asks for `best` unless told otherwise" in card.text
    assert "## Results" not in card.text
    assert "| optimizer steps | 3 |" in card.text


def test_the_example_of_the_card_renders_the_training_prompt(
    trained: Path, tmp_path: Path, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    export.run(trained, str(tmp_path / "polite"), private=False)
    card = (tmp_path / "polite/README.md").read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("inputs =")[0]
    lines = [line for line in code.splitlines() if not line.startswith(("model =", "tokenizer ="))]
    scope: dict[str, Any] = {"tokenizer": load_tokenizer(tmp_path / "polite")}
    exec("\n".join(lines), scope)

    assert scope["text"] == Prompter(tokenizer, toy_spec()).text("The waiter came back and", 0.9)


def test_the_newest_finished_evaluation_is_shown(trained: Path, tmp_path: Path) -> None:
    evaluated(trained, "old", "2026-01-01T00:00:00", 0.25)
    evaluated(trained, "new", "2026-02-01T00:00:00", 0.375)
    evaluated(trained, "unfinished", "", 0.5)
    export.run(trained, str(tmp_path / "polite"), private=False)

    card = (tmp_path / "polite/README.md").read_text(encoding="utf-8")
    assert "| mean ↑ | 0.375 [0.100, 0.400] |" in card


def test_a_baseline_has_no_goals(
    policy: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    none = {"level_rule": "none", "levels": (), "texts": ()}
    run = run_folder(tmp_path / "run", policy, tokenizer, "pypi://wheel==1/model.gguf", prompt_format="chat", **none)
    export.run(run, str(tmp_path / "out"), private=False)

    card = ModelCard.load(tmp_path / "out/README.md")
    assert "without goals" in card.text
    assert "## Goals" not in card.text
    assert card.data.base_model is None


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(trained: Path, tmp_path: Path, there: bool) -> None:
    """To an empty folder, or to where a folder is to be made."""
    (tmp_path / "disk").mkdir()
    if there:
        (tmp_path / "disk/polite").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk/polite")
    export.run(trained, str(tmp_path / "link"), private=False)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk/polite/model.safetensors").is_file()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["polite"]


@pytest.mark.parametrize("made", ["file", "folder"])
def test_nothing_is_overwritten(trained: Path, tmp_path: Path, made: str) -> None:
    target = tmp_path / "taken"
    if made == "folder":
        target.mkdir()
        (target / "x").touch()
    else:
        target.touch()

    with pytest.raises(ConfigError, match="taken: exists and is not an empty folder"):
        export.run(trained, str(target), private=False)


@pytest.mark.parametrize("to", ["run/model/sub", "run/exported", "s3://bucket/x", "n" * 300])
def test_places_that_cannot_hold_a_model_are_refused(trained: Path, tmp_path: Path, to: str) -> None:
    with pytest.raises(GcslError):
        export.run(trained, to if "://" in to else str(tmp_path / to), private=False)


def test_a_link_to_itself_cannot_hold_a_model(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match=r"Cannot write .*loop"):
        export.run(trained, str(tmp_path / "loop"), private=False)


def test_private_is_for_the_hub(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--private is for the Hub"):
        export.run(trained, str(tmp_path / "out"), private=True)


def test_a_run_without_its_config(trained: Path, tmp_path: Path) -> None:
    (trained / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"config\.yaml: no such file"):
        export.run(trained, str(tmp_path / "out"), private=False)


@pytest.mark.parametrize("text", ["model: [", "- a", "5", "{}", "model: 5", "model: {name: x}", "\0", "a: ${b}"])
def test_a_damaged_config_is_told(trained: Path, tmp_path: Path, text: str) -> None:
    (trained / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=r"config\.yaml: damaged"):
        export.run(trained, str(tmp_path / "out"), private=False)


@pytest.mark.parametrize("keys", [None, [], {"seed": 0}, {"method": "sft", "seed": 0}])
def test_a_damaged_manifest_is_told(trained: Path, tmp_path: Path, keys: Any) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    write_json(trained / "manifest.json", manifest | {"keys": keys})
    with pytest.raises(RunError, match=r"manifest\.json is damaged: its keys are"):
        export.run(trained, str(tmp_path / "out"), private=False)


def test_damaged_metrics_do_not_reach_the_card(trained: Path, tmp_path: Path) -> None:
    evaluated(trained, "old", "2026-01-01", 0.123)
    evaluated(trained, "new", "2026-02-01", 0.456)
    write_json(trained / "evaluations/new/manifest.json", {"finished": "2026-02-01", "files": {"metrics.json": "0"}})
    export.run(trained, str(tmp_path / "out"), private=False)

    card = (tmp_path / "out/README.md").read_text()
    assert ("0.123" in card, "0.456" in card) == (True, False)


def test_a_folder_that_is_no_trained_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not the folder of a trained run"):
        export.run(tmp_path, "out", private=False)


def test_a_damaged_model_is_not_exported(trained: Path, tmp_path: Path) -> None:
    (trained / "model/config.json").write_text("{}")
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        export.run(trained, str(tmp_path / "out"), private=False)
    assert not (tmp_path / "out").exists()


# The Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the calls that reach the Hub; collect them."""
    calls: list[dict[str, Any]] = []

    def create(_: HfApi, repo_id: str, **options: Any) -> None:
        calls.append({"created": repo_id, **options})

    def upload(_: HfApi, *, repo_id: str, folder_path: Path, **__: Any) -> None:
        goal = json.loads((folder_path / "goal.json").read_text())
        calls.append({"uploaded": repo_id, "files": {p.name for p in folder_path.iterdir()}, "goal": goal["task"]})

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    return calls


def test_a_repository_on_the_hub_is_created_and_filled(trained: Path, hub: list[dict[str, Any]]) -> None:
    found = export.run(trained, "hf://me/polite", private=True)

    assert hub[0] == {"created": "me/polite", "private": True, "exist_ok": True}
    assert hub[1]["uploaded"] == "me/polite"
    assert {"README.md", "goal.json", "model.safetensors"} <= hub[1]["files"]
    assert found["message"] == "exported to https://huggingface.co/me/polite"


@pytest.mark.parametrize("to", ["hf://me", "hf://datasets/me/polite", "hf://me/polite/file"])
def test_other_places_on_the_hub_are_refused(trained: Path, hub: list[dict[str, Any]], to: str) -> None:
    with pytest.raises(ConfigError):
        export.run(trained, to, private=False)
    assert not hub


def test_a_hub_that_cannot_be_reached(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(HfApi, "create_repo", fail)
    with pytest.raises(ArtifactError, match=r"did not take the upload \(no route to host\).*hf auth login"):
        export.run(trained, "hf://me/polite", private=False)
