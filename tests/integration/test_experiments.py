"""The experiment presets on tiny stand-ins: prepared and dry-run as they are, without the sizes that need a GPU."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import chat_templates
from tests.commands import gcsl
from tests.tiny import make_tiny_model

Lines = Callable[[Path], list[str]]
SMALL = ["task.feedback.prompts=40", "task.feedback.samples=2", "generation.prompts=8", "generation.samples=2"]


def own(lines: list[str]) -> list[str]:
    """Models, prompts and folders of the tests; nothing that the preset sets by itself."""
    return [line for line in lines if not line.startswith(("debug", "task.feedback.texts=", "task.feedback.texts_"))]


@pytest.mark.parametrize("method", ["gcsl", "sft", "dpo", "kto"])
@pytest.mark.parametrize("template", ["LLAMA3", "QWEN3"])
def test_the_papers_settings_are_dry_run_on_a_tiny_model(
    template: str, method: str, small_run: Lines, tmp_path: Path
) -> None:
    model = make_tiny_model(tmp_path / "model", chat_template=getattr(chat_templates, template))
    lines = [
        *own(small_run(tmp_path / "runs")),
        f"model.uri={model}",
        *SMALL,
        "--json",
        "train.batch_size=8",
        "train.micro_batch_size=4",
    ]
    lines = ["experiment=paper/toxicity", *lines, f"method={method}", "train.budget.tokens=9000"]
    assert gcsl("prepare", *lines).code == 0
    ended = gcsl("evaluate", *lines, "dry_run=true")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)["summary"]

    assert ["budget", "9,000 tokens"] in told
    assert any(label == "example" for label, _ in told)


def test_bounded_learning_asks_for_more_than_any_training_row_has(small_run: Lines, tmp_path: Path, rtp: Path) -> None:
    """Scores 0.01 to 1.00; below 0.9, levels of 0.01, 0.3, 0.5, 0.7 are reached, and 0.9 by none."""
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}", "task.feedback.texts=null"]
    lines = [*own(small_run(tmp_path / "runs")), *given, *SMALL, "train.budget.tokens=2000", "--json"]
    ended = gcsl("evaluate", "experiment=small/bounded", *lines)
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)["result"]
    spec = json.loads((next((tmp_path / "runs" / "toxicity").glob("threshold-*")) / "goal.json").read_text("utf-8"))

    assert spec["levels"][-1] == 0.9 > spec["training_range"][1]
    assert "above_training_maximum" in [column["name"] for column in result["columns"]]
