"""Rows over seeds: their arms, names and what is not comparable."""

from pathlib import Path

from gcsl_cli.reports.comparison.rows import Row, Wanted, make_rows
from gcsl_cli.reports.comparison.runs import read_runs
from tests.unit.reports.comparison.made import BASE, GCSL, GOALS, PLAIN, SFT, arm, make_run

ARMS = {"base": [0.4, 0.2], "worst": [0.5, 0.5], "best": [0.1, 0.2], "best-w2": [0.0, 0.1]}
GUIDED = [BASE, *GOALS, arm("best-w2", goal=0.9, best=True, guidance=2.0)]


def rows(*folders: Path, wanted: Wanted | None = None) -> list[Row]:
    runs, problems = read_runs(folders)
    assert problems == []
    return make_rows(runs, wanted)[0]


def test_seeds_of_a_method_share_a_row_and_the_base_model_has_one(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / f"s{seed}", ARMS, seed=seed, described=GUIDED) for seed in (2, 0, 1)]
    found = rows(*folders)

    assert [row.label for row in found] == ["base", "threshold-language", "threshold-language, guidance 2"]
    assert [row.seeds for row in found] == [[], [0, 1, 2], [0, 1, 2]]
    assert [run.path.name for run in found[1].runs] == ["s0", "s1", "s2"]
    assert [len(row.values) for row in found] == [1, 3, 3]


def test_guidance_can_be_chosen(tmp_path: Path) -> None:
    found = rows(make_run(tmp_path / "run", ARMS, described=GUIDED), wanted=Wanted(guidance=frozenset({2.0})))

    assert [row.label for row in found] == ["base", "threshold-language, guidance 2"]


def test_weights_of_guidance_ascend_beside_their_training(tmp_path: Path) -> None:
    """Evaluations are read newest first; other methods do not come between."""
    arms = [arm(f"best-w{weight}", goal=0.9, best=True, guidance=weight) for weight in (4.0, 1.0)]
    found = rows(
        make_run(tmp_path / "a", {found["name"]: [0.1] for found in arms}, described=arms),
        make_run(tmp_path / "b", {"trained": [0.1]}, keys=SFT, described=[PLAIN]),
        make_run(tmp_path / "a", ARMS, described=GUIDED, evaluation="older", finished="2025-01-01"),
    )

    assert [(row.label.partition(",")[0], row.guidance) for row in found] == [
        ("base", 0.0),
        *(("threshold-language", weight) for weight in (0.0, 1.0, 2.0, 4.0)),
        ("sft top_fraction 0.2", 0.0),
    ]


def test_each_requested_sampling_is_a_row(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ARMS)
    cool = "samples 2, temperature 0.8"
    arms = {"best": [0.0, 0.1]}
    described = [arm("best", goal=0.9, best=True)]
    make_run(run, arms, described=described, evaluation="cool", compared_by={"sampling": cool})

    plain = rows(run)
    both = rows(run, wanted=Wanted(sampling=frozenset({cool, "samples 2, temperature 1.0"})))
    cooler = rows(run, wanted=Wanted(sampling=frozenset({cool})))

    assert len(plain) == 2
    assert sorted(row.label for row in both) == [
        "base",
        "threshold-language (temperature=0.8)",
        "threshold-language (temperature=1.0)",
    ]
    assert [row.label for row in cooler] == ["threshold-language"]
    assert cooler[0].evaluations[0].sampling == cool


def test_rows_with_equal_names_say_what_differs(tmp_path: Path) -> None:
    keys = [GCSL, {**GCSL, "train": {"batch_size": 8}}]
    found = rows(*(make_run(tmp_path / str(place), ARMS, keys=part) for place, part in enumerate(keys)))

    assert [row.label for row in found] == [
        "base",
        "threshold-language (train.batch_size=4)",
        "threshold-language (train.batch_size=8)",
    ]


def test_one_distinguishing_setting_is_enough(tmp_path: Path) -> None:
    keys = [{**GCSL, "adapter": {"alpha": 2 * rank, "rank": rank}} for rank in (4, 8)]
    found = rows(
        *(make_run(tmp_path / str(place), ARMS, keys=part) for place, part in enumerate(keys)),
        make_run(tmp_path / "f", ARMS, keys=keys[0], compared_by={"feedback": "f2"}),
    )

    assert [row.label for row in found[1:]] == [
        "threshold-language (adapter.alpha=8, feedback=f1)",
        "threshold-language (adapter.alpha=8, feedback=f2)",
        "threshold-language (adapter.alpha=16, feedback=f1)",
    ]


def test_a_setting_that_all_rows_have_says_more_than_null(tmp_path: Path) -> None:
    """With and without goals that rows miss; the level weights differ as well."""
    keys = [
        {**GCSL, "goal": {"weights": weights, "missed": {"weight": missed}}}
        for weights, missed in (([0.25, 1.0], 1.0), (None, 0.0))
    ]
    found = rows(*(make_run(tmp_path / str(place), ARMS, keys=part) for place, part in enumerate(keys)))

    assert [row.label for row in found[1:]] == [
        "threshold-language (goal.missed.weight=1.0)",
        "threshold-language (goal.missed.weight=0.0)",
    ]


def test_other_feedback_is_another_row(tmp_path: Path) -> None:
    found = rows(
        make_run(tmp_path / "a", ARMS),
        make_run(tmp_path / "b", ARMS, compared_by={"feedback": "f2"}),
    )

    assert [row.label for row in found[1:]] == ["threshold-language (feedback=f1)", "threshold-language (feedback=f2)"]


def test_arms_come_from_the_evaluation_that_most_runs_share(tmp_path: Path) -> None:
    """The newest evaluation of the second run is over other prompts."""
    first, second = make_run(tmp_path / "a", ARMS, seed=0), make_run(tmp_path / "b", ARMS, seed=1)
    other = {name: [1.0] for name in ARMS}
    make_run(second, other, seed=1, evaluation="few", finished="2027-01-01", compared_by={"evaluation prompts": "p2"})
    found = rows(first, second)

    assert [row.label for row in found] == ["base", "threshold-language"]
    assert [values["toxicity"].numerator.size for values in found[1].values] == [2, 2]


def test_a_second_run_of_the_same_seed_is_reported(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name, ARMS) for name in ("a", "b")]
    runs, _ = read_runs(folders)
    found, problems = make_rows(runs)

    assert found[1].seeds == [0]
    assert problems == [f"{tmp_path}/b: seed 0 of threshold-language is already in {tmp_path}/a."]


def test_reasons_why_rows_are_not_comparable(tmp_path: Path) -> None:
    change = {"feedback": "f2", "budget": "7 tokens", "evaluation prompts": "p2", "version": "9"}
    base, goals, plain = rows(
        make_run(tmp_path / "a", ARMS),
        make_run(tmp_path / "b", {"trained": [0.1]}, keys=SFT, described=[PLAIN], compared_by=change),
    )

    assert goals.reasons_against(base) == []
    assert plain.reasons_against(goals) == [
        "trained on different feedback",
        "different budget",
        "evaluated on different prompts",
        "made by a different version of gcsl",
    ]
    assert plain.reasons_against(base) == ["evaluated on different prompts", "made by a different version of gcsl"]


def test_rounds_follow_each_other_beside_their_training(tmp_path: Path) -> None:
    """In whatever order the folders are read; the first round is the run without rounds."""
    later = {number: {**GCSL, "round": {"number": number, "start": "base"}} for number in (10, 2)}
    folders = [make_run(tmp_path / f"round{number}", ARMS, keys=keys) for number, keys in later.items()]
    folders += [
        make_run(tmp_path / "sft", {"trained": [0.1]}, keys=SFT, described=[PLAIN]),
        make_run(tmp_path / "round1", ARMS, described=GUIDED),
    ]

    assert [row.label for row in rows(*folders)] == [
        "base",
        "threshold-language",
        "threshold-language, guidance 2",
        "threshold-language, round 2",
        "threshold-language, round 10",
        "sft top_fraction 0.2",
    ]
