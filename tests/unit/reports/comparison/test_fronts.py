"""The fronts of several methods, on given means of two scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.metrics.bootstrap import mean_over_prompts
from gcsl_cli.reports import plots
from gcsl_cli.reports.comparison.compute import compare
from gcsl_cli.reports.comparison.report import fronts_table
from gcsl_cli.reports.comparison.rows import make_rows
from gcsl_cli.reports.comparison.runs import read_runs
from gcsl_cli.reports.saved import write_values
from tests.unit.reports.comparison.made import COLUMNS, GCSL, GOALS, PLAIN, SFT, arm, make_run

SCALES = {
    "politeness": {"lower_is_better": False, "low": 0.0, "high": 1.0},
    "length": {"lower_is_better": True, "low": 0.0, "high": 20.0},
}
POINTS = {"polite": (1.0, 15.0), "short": (0.5, 5.0), "neither": (0.4, 16.0)}
"""On scales from 0 to 1: (1, 0.25), (0.5, 0.75) and (0.4, 0.2). The area is 0.5 * 0.75 + 0.5 * 0.25 = 0.5."""
ARMS = [arm("neither", goal=0.1), arm("short", goal=0.5), arm("polite", goal=0.9, best=True)]


def made(
    folder: Path,
    points: Mapping[str, tuple[float, float]],
    described: Any,
    keys: Any,
    seed: int = 0,
    weight: float = 1.0,
    **changes: Any,
) -> Path:
    """A run whose arms have these means of politeness and length, the same for both prompts."""
    columns = [{"name": f"score_{name}", "label": name, "better": "", "digits": 3} for name in SCALES]
    arms = [
        {
            "name": name,
            "trained": True,
            "means": {score: {"value": mean} for score, mean in zip(SCALES, means, strict=True)},
        }
        for name, means in points.items()
    ]
    several = {"scores": SCALES, "weights": {"length": weight}, "arms": arms, "hypervolume": {"value": 0.5}}
    result = {"columns": [*COLUMNS, *columns], "several": several}
    make_run(
        folder,
        {name: [0.1, 0.1] for name in points},
        seed=seed,
        keys=keys,
        described=described,
        result=result,
        **changes,
    )
    values: dict[str, Any] = {
        name: {f"score_{score}": mean_over_prompts(np.full(2, mean)) for score, mean in zip(SCALES, means, strict=True)}
        | {column["name"]: mean_over_prompts(np.full(2, 0.1)) for column in COLUMNS}
        for name, means in points.items()
    }
    write_values(folder / "evaluations" / "best-1" / "values.parquet", values)
    return folder


def compared(folders: list[Path], baseline: str) -> dict[str, Any]:
    runs, problems = read_runs(folders)
    assert problems == []
    rows, _ = make_rows(runs)
    return compare(rows, next(row for row in rows if row.label == baseline), resamples=50, seed=0)


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    """Goals in two seeds, the second 0.1 more polite throughout where that is possible, and SFT with one point."""
    higher = {name: (min(1.0, politeness + 0.1), length) for name, (politeness, length) in POINTS.items()}
    goals = [made(tmp_path / f"goals-{seed}", points, ARMS, GCSL, seed) for seed, points in ((0, POINTS), (1, higher))]
    plain = [made(tmp_path / f"sft-{seed}", {"trained": (0.5, 10.0)}, [PLAIN], SFT, seed) for seed in (0, 1)]
    return compared([*goals, *plain], "sft top_fraction 0.2") | {"baseline": "sft top_fraction 0.2"}


def test_a_training_has_all_that_it_can_be_asked_for(result: dict[str, Any]) -> None:
    """The second seed has (0.6, 0.75) in place of (0.5, 0.75): 0.6 * 0.75 + 0.4 * 0.25 = 0.55."""
    goals, plain = result["fronts"]

    assert [(point["label"], point["front"]) for point in goals["points"]] == [
        ("polite", True),
        ("short", True),
        ("neither", False),
    ]
    assert goals["points"][1]["means"] == {"politeness": pytest.approx(0.55), "length": 5.0}
    assert goals["hypervolume"]["per_seed"] == pytest.approx([0.5, 0.55])
    assert plain["hypervolume"]["value"] == pytest.approx(0.25)


def test_volumes_are_compared_by_seed(result: dict[str, Any]) -> None:
    goals, plain = result["fronts"]

    assert plain["difference"] is None
    assert goals["difference"]["per_seed"] == pytest.approx([0.25, 0.3])
    assert goals["difference"]["same_sign"]


def test_the_table_and_the_figure(result: dict[str, Any]) -> None:
    table = fronts_table(result)
    assert table is not None
    rows = [[cell.value for cell in row] for row in table.rows()]

    assert rows[0][:3] == ["threshold-language", "3", "2"]
    assert rows[0][4].startswith("+0.275 [+0.250, +0.300] 2/2")
    assert rows[1] == ["sft top_fraction 0.2", "1", "1", "0.250 ±0.000", ""]
    axes = plots.fronts_figure(result["fronts"], "politeness", "length").axes[0]
    assert axes.yaxis.get_inverted()
    assert [line.get_label() for line in axes.lines[1::2]] == ["threshold-language", "sft top_fraction 0.2"]


def test_models_for_several_weights_have_a_front_together(tmp_path: Path) -> None:
    """One is polite, (1, 0.25), the other short, (0.5, 0.75): 0.25 and 0.375 alone, 0.5 together."""
    plain = made(tmp_path / "sft", {"trained": (0.5, 10.0)}, [PLAIN], SFT)
    folders = [
        made(tmp_path / name, {"best": POINTS[name]}, GOALS[1:], GCSL, weight=weight, compared_by={"feedback": name})
        for name, weight in (("polite", 0.5), ("short", 2.0))
    ]
    found = {front["label"]: front for front in compared([plain, *folders], "sft top_fraction 0.2")["fronts"]}

    assert [label.partition(" (")[0] for label in found] == [
        "sft top_fraction 0.2",
        "threshold-language",
        "threshold-language",
        "threshold-language, 2 weights together",
    ]
    assert [front["hypervolume"]["value"] for front in found.values()] == pytest.approx([0.25, 0.25, 0.375, 0.5])
    together = found["threshold-language, 2 weights together"]
    assert [point["front"] for point in together["points"]] == [True, True]
    assert together["difference"]["per_seed"] == pytest.approx([0.25])


def test_rows_with_one_score_have_no_fronts(tmp_path: Path) -> None:
    found = compared([make_run(tmp_path / "a", {"base": [0.1], "worst": [0.1], "best": [0.1]})], "base")

    assert "fronts" not in found
    assert fronts_table(found) is None
