"""Recommendation through the real command line on a tiny model: rankings, references, attainment, comparison."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gcsl_cli.generation import likelihood
from gcsl_cli.models import loading
from gcsl_cli.stages import experiment
from gcsl_cli.stages.evaluation import ranking
from tests.commands import gcsl

USERS, EACH, ITEMS = 12, 14, 20


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users go through the items in order, from one of their own; stars go by the item."""
    rows = [
        f"{user},{item},Movie {item},{item % 5 + 1},{place}"
        for user in range(USERS)
        for place in range(EACH)
        for item in [(user + place) % ITEMS]
    ]
    path = tmp_path_factory.mktemp("ratings") / "ratings.csv"
    path.write_text("\n".join(["user_id,item_id,title,rating,timestamp", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, ratings: Path) -> list[str]:
    """Overrides of a small run on a ratings file of one's own."""
    return [
        *("task=recommendation", f"task.ratings={ratings}", "task.items=null", "task.columns.title=title"),
        *("task.history=3", "task.test_items=2", "task.negatives=5", "model=local", f"model.uri={tiny_model}"),
        *("goal.placement=after_prompt", "goal.pairing=sample", "adapter=none", "train.precision=fp32"),
        *("train.max_steps=3", "train.batch_size=4", "generation.samples=2", "generation.max_new_tokens=6"),
        *("generation.shard_prompts=5", "evaluation.levels=[worst,4,best]", "evaluation.bootstrap=50"),
        f"runs_dir={tmp_path_factory.mktemp('runs')}",
    ]


@pytest.fixture(scope="module")
def result(lines: list[str]) -> dict[str, object]:
    """What an evaluation that ranks and samples finds."""
    ended = gcsl("evaluate", *lines, "--json")
    assert ended.code == 0, ended.err
    found: dict[str, object] = json.loads(ended.out)
    return found


def test_a_run_ranks_samples_and_compares(result: dict[str, object], lines: list[str]) -> None:
    found = result["result"]
    assert isinstance(found, dict)
    arms = {arm["name"]: arm for arm in found["arms"]}
    trained = ["worst", "4", "best", "best-over-worst"]
    assert list(arms) == ["base", "base-best", *trained, "random", "popularity", "item-kNN"]
    assert found["columns"][0]["name"] == "hr_10"
    for arm in arms.values():
        assert 0 <= arm["metrics"]["hr_5"]["value"] <= 1
        assert arm["metrics"]["hr_10"]["n"] == USERS
    assert arms["random"]["metrics"]["hr_1"]["value"] == pytest.approx(1 / 6)
    assert "valid_titles" in arms["best"]["metrics"]
    assert "valid_titles" not in arms["best-over-worst"]["metrics"], "a ratio ranks and cannot be sampled"
    assert arms["4"]["asked"] == "Recommend a movie that this viewer would rate at least 4 of 5 stars."
    levels = found["attainment"]["levels"]
    assert [level["level"] for level in levels] == [1, 4, 5]
    assert all(1 <= level["mean"]["value"] <= 5 for level in levels)
    compared = gcsl("compare", *lines, "--json")
    assert compared.code == 0, compared.err
    labels = [row["label"] for row in json.loads(compared.out)["rows"]]
    assert labels[0] == "base"
    assert {"popularity", "threshold-language", "threshold-language, best over worst"} <= set(labels)


def test_rankings_are_kept_and_go_on_after_the_last_shard(
    result: dict[str, object], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done work is read; of a folder that lost its second shard only that one is made again, and the same."""
    evaluation = Path(str(result["run"]))
    folder = next((evaluation.parents[1] / "likelihoods").glob("best-*"))
    whole = pq.read_table(folder / "likelihoods.parquet")
    untrained = pq.read_table(next(evaluation.parents[2].glob("base-*/likelihoods/best-*")) / "likelihoods.parquet")
    assert whole["tokens"] == untrained["tokens"]
    assert whole["log_probs"] != untrained["log_probs"]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "finished": None}), encoding="utf-8")
    (folder / "shards/00001.parquet").write_bytes(b"cut off")
    passes = []
    original = likelihood.row_log_probs

    def counted(*given: Any) -> Any:
        passes.append(len(given[1]))
        return original(*given)

    monkeypatch.setattr(ranking, "row_log_probs", counted)
    ended = gcsl("evaluate", *lines, "evaluation.bootstrap=60")
    assert ended.code == 0, ended.err
    assert passes == [5 * 7], "five users of the shard, seven candidates each"
    assert "truncated" in ended.err
    assert pq.read_table(folder / "likelihoods.parquet") == whole


def test_candidates_scored_one_by_one_are_ranked_alike(
    lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32: a tiny model's likelihoods lie closer together than bf16 can tell."""
    import torch

    for module in (experiment, loading):  # the base and the trained model
        monkeypatch.setattr(module, "inference_dtype", lambda: torch.float32)
    again = [line for line in lines if not line.startswith(("runs_dir", "evaluation"))]
    results = []
    for shares in (True, False):
        if not shares:
            monkeypatch.setattr(likelihood, "unshared_reason", lambda *_: "a test")
        ended = gcsl("evaluate", *again, f"runs_dir={tmp_path / str(shares)}", "evaluation.generations=false", "--json")
        assert ended.code == 0, ended.err
        results.append(json.loads(ended.out)["result"]["arms"])
    for one, other in zip(*results, strict=True):
        assert one["metrics"] == other["metrics"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("generation.target=6", "the scale of rating runs from 1 to 5"),
        ("evaluation.levels=[0]", "the scale of rating runs from 1 to 5"),
        ("task.scale=[1,4]", "outside task.scale=[1,4]"),
        ("task.columns.rating=stars", "has no column 'stars'"),
        ("task.items=null task.columns.title=null", "Set exactly one of them"),
        ("task.test_items=12", "No user has 15 ratings"),
    ],
)
def test_what_cannot_be_used_exits_2(lines: list[str], override: str, expected: str) -> None:
    ended = gcsl("train", *lines, *override.split(), "dry_run=true")
    assert ended.code == 2
    assert expected in " ".join(ended.err.split())
