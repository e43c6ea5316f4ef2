"""The numbers of a comparison, on given toxicities."""

from pathlib import Path
from typing import Any

import pytest

from gcsl_cli.reports.comparison.compute import compare
from gcsl_cli.reports.comparison.rows import make_rows
from gcsl_cli.reports.comparison.runs import read_runs
from tests.unit.reports.comparison.made import PLAIN, SFT, arm, make_run

BASE = [0.4, 0.2]
BEST = {0: [0.1, 0.1], 1: [0.2, 0.2]}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two seeds with goals, better than base by 0.2 and 0.1, and two without, of which one is worse."""
    goals = [
        make_run(tmp_path / f"goals-{seed}", {"base": BASE, "worst": [0.5, 0.5], "best": BEST[seed]}, seed=seed)
        for seed in (0, 1)
    ]
    plain = [
        make_run(tmp_path / f"sft-{seed}", {"trained": values}, seed=seed, keys=SFT, described=[PLAIN])
        for seed, values in ((0, [0.2, 0.2]), (1, [0.5, 0.3]))
    ]
    return [*goals, *plain]


def compared(folders: list[Path], baseline: str | None = "base") -> dict[str, Any]:
    runs, problems = read_runs(folders)
    assert problems == []
    rows, _ = make_rows(runs)
    chosen = next((row for row in rows if row.label == baseline), None)
    result = compare(rows, chosen, resamples=200, seed=0)
    return result | {"by_label": {row["label"]: row for row in result["rows"]}}


def said(result: dict[str, Any], row: dict[str, Any]) -> list[str]:
    return [result["marks"][letter] for letter in row["marks"]]


def test_values_are_means_over_seeds(folders: list[Path]) -> None:
    found = compared(folders)["by_label"]

    assert found["base"]["metrics"]["toxicity"]["value"] == pytest.approx(0.3)
    assert found["threshold-language"]["metrics"]["toxicity"]["value"] == pytest.approx(0.15)
    assert found["threshold-language"]["metrics"]["toxicity"]["per_seed"] == pytest.approx([0.1, 0.2])
    assert found["threshold-language"]["costs"]["training_seconds"]["value"] == 10.5
    assert found["threshold-language"]["discrimination"]["value"] == pytest.approx(0.65)
    assert found["sft top_fraction 0.2"]["discrimination"] is None


def test_differences_are_paired_by_seed_with_their_signs(folders: list[Path]) -> None:
    found = compared(folders)["by_label"]
    goals, plain = (found[name]["difference"]["toxicity"] for name in ("threshold-language", "sft top_fraction 0.2"))

    assert (goals["per_seed"], goals["same_sign"]) == (pytest.approx([-0.2, -0.1]), True)
    assert (plain["per_seed"], plain["same_sign"]) == (pytest.approx([-0.1, 0.1]), False)
    assert goals["high"] <= 0 < plain["high"]
    assert found["base"]["difference"] is None


def test_a_trained_baseline_is_paired_by_seed(folders: list[Path]) -> None:
    found = compared(folders, "sft top_fraction 0.2")["by_label"]

    assert found["threshold-language"]["difference"]["toxicity"]["per_seed"] == pytest.approx([-0.1, -0.2])
    assert found["base"]["difference"] is None  # it has one seed, the baseline two


def test_seeds_that_only_one_of_them_has_are_left_out_and_marked(folders: list[Path], tmp_path: Path) -> None:
    third = make_run(tmp_path / "goals-2", {"base": BASE, "worst": [0.5, 0.5], "best": [0.0, 0.0]}, seed=2)
    result = compared([*folders, third], "sft top_fraction 0.2")
    goals = result["by_label"]["threshold-language"]

    assert len(goals["metrics"]["toxicity"]["per_seed"]) == 3
    assert goals["difference"]["toxicity"]["per_seed"] == pytest.approx([-0.1, -0.2])
    assert said(result, goals) == [
        "different seeds than sft top_fraction 0.2: differences are over the seeds that both have"
    ]


def test_other_budgets_are_marked_and_other_prompts_have_no_difference(folders: list[Path], tmp_path: Path) -> None:
    changed = {
        "budget": {"budget": "7 tokens"},
        "prompts": {"evaluation prompts": "p2"},
        "temperature": {"sampling": "samples 2, temperature 0.8"},
        "samples": {"sampling": "samples 3, temperature 1.0"},
    }
    more = [
        make_run(
            tmp_path / name,
            {"trained": [0.1] * (3 if name == "prompts" else 2)},
            keys={**SFT, "x": name},
            described=[PLAIN],
            compared_by=by,
        )
        for name, by in changed.items()
    ]
    result = compared([*folders, *more], "threshold-language")
    found = {row["runs"][0].rpartition("/")[2]: row for row in result["rows"] if row["runs"]}

    assert "evaluated on different prompts than threshold-language" in said(result, found["prompts"])
    assert found["prompts"]["difference"] is None
    assert "different budget than threshold-language" in said(result, found["budget"])
    assert found["samples"]["difference"] is None
    for name in ("temperature", "samples"):
        assert "sampled with different settings than threshold-language" in said(result, found[name])
    assert found["temperature"]["difference"]["toxicity"]["per_seed"] == pytest.approx([0.0])
    assert result["by_label"]["threshold-language"]["marks"] == []


def test_attainment_is_the_correlation_of_means_over_seeds(folders: list[Path]) -> None:
    """Scores are 1 - toxicity: 0.5 at the worst goal; at the best 0.9 and 0.8, in the mean 0.85."""
    found = compared(folders)["by_label"]["threshold-language"]["attainment"]

    assert [level["mean"] for level in found["levels"]] == pytest.approx([0.5, 0.85])
    assert found["levels"][1]["per_seed"] == pytest.approx([0.9, 0.8])
    assert found["spearman_levels"] == pytest.approx(1.0)


def test_levels_may_have_been_asked_for_in_an_older_evaluation(folders: list[Path]) -> None:
    """The newer ones have the best goal alone, which is no curve, and no held-out rows."""
    for seed, folder in enumerate(folders[:2]):
        make_run(
            folder,
            {"best": [0.3, 0.3]},
            seed=seed,
            described=[arm("best", goal=0.9, best=True)],
            result={"discrimination": None},
            evaluation="newer",
            finished="2027-01-01",
        )
    found = compared(folders)["by_label"]["threshold-language"]

    assert found["metrics"]["toxicity"]["per_seed"] == pytest.approx([0.3, 0.3])
    assert len(found["attainment"]["levels"]) == 2
    assert found["discrimination"]["value"] == pytest.approx(0.65)


def test_one_level_has_no_correlation(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"best": [0.3, 0.3]}, described=[arm("best", goal=0.9, best=True)])

    assert compared([run])["by_label"]["threshold-language"]["attainment"] is None


def test_without_a_baseline_there_are_no_differences(folders: list[Path]) -> None:
    result = compared(folders, None)

    assert result["baseline"] is None
    assert all(row["difference"] is None and not row["marks"] for row in result["rows"])


def test_a_round_costs_what_all_rounds_so_far_cost(tmp_path: Path) -> None:
    facts = {"training_tokens": 100, "training_tokens_of_all_rounds": 300, "rollout_tokens_of_all_rounds": 70}
    arms = {"base": BASE, "worst": BASE, "best": BEST[0]}
    run = make_run(tmp_path / "run", arms, result={"facts": facts})
    found = compared([run])["by_label"]["threshold-language"]["costs"]

    assert {name: found[name]["value"] for name in ("training_tokens", "rollout_tokens")} == {
        "training_tokens": 300,
        "rollout_tokens": 70,
    }
    assert found["supervised_tokens"] is None
