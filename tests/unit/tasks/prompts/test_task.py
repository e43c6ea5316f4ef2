"""The prompts task: identity, rollouts and their grades, metrics, and unusable settings."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcsl_cli.data.arrays import Floats
from gcsl_cli.data.records import FeedbackRows, Generation, Prompt
from gcsl_cli.data.splits import SplitConfig
from gcsl_cli.errors import ConfigError, DataError, GcslError
from gcsl_cli.scorers.base import Example, Scorer
from gcsl_cli.scorers.contains import ContainsScorer
from gcsl_cli.scorers.length import LengthScorer
from gcsl_cli.scorers.profanity import ProfanityScorer
from gcsl_cli.scorers.reference import ExactMatchScorer
from gcsl_cli.scorers.weighted import WeightedScorer
from gcsl_cli.scorers.wordlist import WordListScorer
from gcsl_cli.tasks.base import RolloutSettings
from gcsl_cli.tasks.code.scorer import UnitTestsScorer
from gcsl_cli.tasks.prompts.task import FeedbackConfig, PromptsTask

MODEL = {"uri": "a"}
SAYS = ["yes", "yes please", " \n", "?"]


@dataclass
class Doubting(LengthScorer):
    """Has no grade for a question mark."""

    def grade(self, examples: Sequence[Example]) -> Floats:
        grades = super().grade(examples)
        doubted = np.array([example.completion == "?" for example in examples])
        self.ungraded["in doubt"] += int(doubted.sum())
        return np.where(doubted, math.nan, grades)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "my prompts.jsonl"
    rows = [{"prompt": f"Question {number}?", "reference": f"{number}", "n": number} for number in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]), encoding="utf-8")
    return path


def task(path: Path, **settings: Any) -> PromptsTask:
    return PromptsTask(path=str(path), **{"scorer": Doubting(), "split": SplitConfig(minimum=4), **settings})


def rollouts(prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
    return [
        Generation(prompt.prompt_id, prompt.text, sample, SAYS[sample], 2, sample != 1)
        for prompt in prompts
        for sample in range(settings.samples)
    ]


def test_rollouts_are_graded_and_what_has_no_grade_is_left_out(path: Path) -> None:
    """Blank completions and those without a grade teach nothing, and are no zeros."""
    made = task(path)
    rows = made.graded_rows(rollouts, None)
    prompts = [prompt for prompt in made.prompts() if prompt.split != "test"]

    assert len(made.prompts()) == 30
    assert made.rollouts_planned() == 4 * len(prompts)
    assert [(row.completion, row.score, row.finished) for row in rows[:2]] == [
        ("yes", 1, True),
        ("yes please", 2, False),
    ]
    assert [row.prompt_id for row in rows[::2]] == [prompt.prompt_id for prompt in prompts]
    assert {row.split for row in rows} == {"train", "validation"}


def test_the_scorer_sees_the_row_of_the_prompt(path: Path) -> None:
    seen: list[Example] = []

    @dataclass
    class Recording(Scorer):
        def grade(self, examples: Sequence[Example]) -> Floats:
            seen.extend(examples)
            return np.zeros(len(examples))

    made = task(path, scorer=Recording())
    prompt = next(prompt for prompt in made.prompts() if prompt.text == "Question 7?")
    made.score([prompt], ["yes"])

    assert seen == [Example("Question 7?", "yes", "7", {"n": 7}, "chat")]


def test_fewer_prompts_are_the_first_of_the_same(path: Path) -> None:
    few = task(path, feedback=FeedbackConfig(prompts=3, samples=2))

    assert few.rollouts_planned() == 6
    assert [row.prompt for row in few.graded_rows(rollouts, None)][::2] == [
        prompt.text for prompt in task(path).prompts() if prompt.split != "test"
    ][:3]


def test_metrics_of_two_prompts(path: Path) -> None:
    """Means 1.5 and 1; the second prompt's best is unknown, and half of its completions have no grade."""
    made = task(path, second_scorer=ContainsScorer(words=["please"]))
    found = made.metrics(made.prompts()[:2], [["yes", "yes please"], ["yes", "?"]])
    values = {name: (metric.numerator / metric.denominator).tolist() for name, metric in found.items()}

    assert values["mean_score"] == [1.5, 1]
    assert values["best_of_n"][0] == 2
    assert found["best_of_n"].defined().tolist() == [True, False]
    assert (values["second_score"], values["ungraded"]) == ([0.5, 0], [0, 0.5])
    assert [column.name for column in made.result_columns()] == list(values)
    assert [column.name for column in made.result_columns() if column.independent] == ["second_score"]


def test_lower_grades_may_be_better(path: Path) -> None:
    """Scores are negated grades; people see grades."""
    made = task(path, score_direction="lower", score_name="verbosity")
    rows = made.graded_rows(rollouts, None)
    scale = made.grade_scale(rows)
    best = made.metrics(made.prompts()[:1], [["yes", "yes please"]])["best_of_n"]

    assert sorted({row.score for row in rows}) == [-2, -1]
    assert (scale.name, scale.low, scale.high, scale.lower_is_better) == ("verbosity", 1, 2, True)
    assert best.numerator.tolist() == [1]
    assert [column.better for column in made.result_columns()[:2]] == ["lower", "lower"]


def test_of_toxicity_lower_is_better_without_being_told(path: Path) -> None:
    """A model must not become toxic because a key was forgotten."""
    made = task(path, scorer=ProfanityScorer(), second_scorer=WordListScorer())
    kind, rude = made.score(made.prompts()[:2], ["Thank you.", "You stupid fucking idiot."])

    assert kind > rude
    assert [column.better for column in made.result_columns()[:3]] == ["lower", "lower", "lower"]
    assert made.feedback_keys(MODEL) == replace(made, score_direction="lower").feedback_keys(MODEL)
    assert made.feedback_keys(MODEL) != replace(made, score_direction="higher").feedback_keys(MODEL)


@pytest.mark.parametrize(
    ("settings", "ends"),
    [
        ({"scale": [0.0, 9.0]}, (0, 9)),
        ({"scorer": ContainsScorer(words=["please"])}, (0, 1)),
        ({}, (1, 2)),
    ],
)
def test_the_scale_is_configured_or_the_scorers_or_that_of_the_grades(
    path: Path, settings: dict[str, Any], ends: tuple[float, float]
) -> None:
    scale = task(path, **settings).grade_scale(task(path).graded_rows(rollouts, None))

    assert (scale.low, scale.high) == ends


def test_the_feedback_depends_on_prompts_scorer_and_model(path: Path) -> None:
    made = task(path)
    keys = made.feedback_keys(MODEL)
    second = replace(made, second_scorer=LengthScorer(), sentences=["a"], test_prompts=9)

    assert keys == second.feedback_keys(MODEL)
    assert keys != made.feedback_keys({"uri": "b"})
    assert keys != task(path, scorer=Doubting(target=3)).feedback_keys(MODEL)
    assert keys != task(path, format="plain").feedback_keys(MODEL)
    assert keys != task(path, score_direction="lower").feedback_keys(MODEL)
    assert made.feedback_name() == "my-prompts-length"
    path.write_text(path.read_text(encoding="utf-8").replace("7", "77"), encoding="utf-8")
    assert keys != task(path).feedback_keys(MODEL)


def test_the_measures_depend_on_both_scorers(path: Path) -> None:
    keys = task(path).evaluation_keys()

    assert keys != task(path, second_scorer=LengthScorer()).evaluation_keys()
    assert keys != task(path, scorer=LengthScorer(target=1)).evaluation_keys()


def test_evaluation_prompts_are_held_out(path: Path) -> None:
    made = task(path, test_prompts=3)
    tests = [prompt for prompt in made.prompts() if prompt.split == "test"]

    assert made.evaluation_prompts(FeedbackRows.of([])) == tests[:3]
    assert {prompt.split for prompt in made.evaluation_prompts(FeedbackRows.of([]), "validation")} == {"validation"}


def test_conversations_keep_their_own_format(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n', encoding="utf-8")

    assert task(path).prompt_format() == "messages"
    with pytest.raises(ConfigError, match=r"task\.format=plain: .*chats\.jsonl holds conversations"):
        task(path, format="plain").prompt_format()
    with pytest.raises(ConfigError, match=r"task\.instruction=Say: \{prompt\}: .* holds conversations"):
        task(path, instruction="Say: {prompt}").prompt_format()


def test_scores_that_all_agree_leave_no_levels(path: Path) -> None:
    made = task(path, scorer=ContainsScorer(words=["never"]))
    with pytest.raises(
        DataError, match=r"All \d+ grades of contains are 0: no completion is better .*task\.feedback\.temp"
    ):
        made.graded_rows(rollouts, None)


def test_without_one_grade_the_reasons_are_told(path: Path) -> None:
    def doubtful(prompts: Sequence[Prompt], settings: RolloutSettings) -> list[Generation]:
        return [Generation(prompt.prompt_id, prompt.text, 0, "?", 2, True) for prompt in prompts]

    with pytest.raises(DataError, match=r"None of \d+ completions has a grade: 0 are blank; length says .* in doubt"):
        task(path).graded_rows(doubtful, None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scorer": None}, "No scorer is chosen. Give scorer=NAME"),
        ({"scorer": ContainsScorer()}, "looks for words or for a pattern"),
        ({"second_scorer": LengthScorer(unit="lines")}, "scorer.unit=lines: unknown"),
        ({"score_direction": "up"}, "task.score_direction=up: unknown. Allowed: higher, lower."),
        ({"scale": [2.0, 1.0]}, "task.scale=[2.0, 1.0]: expected the lowest and highest grade"),
        ({"test_prompts": 0}, "task.test_prompts=0: must be at least 1."),
        ({"feedback": FeedbackConfig(samples=0)}, "task.feedback.samples=0"),
    ],
)
def test_unusable_settings_are_found_before_anything_is_sampled(
    path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(GcslError) as error:
        task(path, **settings).rollouts_planned()
    assert said in str(error.value)


def test_a_scorer_that_runs_tests_needs_their_column(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "Add.", "exam": "assert add(1, 2) == 3"}\n' * 30, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"scorer=unit_tests needs one of the columns test_list, base_input, tests, "):
        task(path, scorer=UnitTestsScorer()).rollouts_planned()


def test_a_scorer_that_compares_needs_references(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("Question?\n" * 30, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"scorer=exact_match compares with reference answers, and .*prompts\.txt has"
    ):
        task(path, scorer=ExactMatchScorer()).rollouts_planned()


def test_bad_rows_stop_the_run_or_are_left_out(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + '{"prompt": 5}\n{"prompt"\n', encoding="utf-8")
    with pytest.raises(DataError) as error:
        task(path).prompts()
    skipping = task(path, on_error="skip")

    assert "2 of 33 rows cannot be used:\n  1 x prompt is not text: my prompts.jsonl:32 prompt=5" in str(error.value)
    assert len(skipping.prompts()) == 30
    assert ["left out", "1 x prompt is not text: my prompts.jsonl:32 prompt=5"] in skipping.overview()


# Several scores


def several(path: Path, **settings: Any) -> PromptsTask:
    """Politeness from 0 to 1, and words from 0 to 4, of which fewer are better and count three times."""
    parts: dict[str, Any] = {"polite": ContainsScorer(words=["please"]), "words": Doubting()}
    scorer = WeightedScorer(parts=parts, weights={"words": -3.0}, ranges={"words": [0.0, 4.0]})
    return task(path, **{"scorer": scorer, "scores": ["polite", "words"], **settings})


def test_the_parts_of_a_weighted_scorer_are_several_scores(path: Path) -> None:
    """ "yes": impolite, one word of four: (0 + 3 * 0.75) / 4. "?" has no number of words, and is impolite: 0."""
    made = several(path)
    rows = made.graded_rows(rollouts, None)
    parts = made.parts(rows)

    assert [(row.completion, row.scores, row.score) for row in rows[:3]] == [
        ("yes", {"polite": 0.0, "words": -1.0}, 0.5625),
        ("yes please", {"polite": 1.0, "words": -2.0}, 0.625),
        ("?", {"polite": 0.0}, 0.0),
    ]
    assert (parts["words"].weight, parts["words"].scale.lower_is_better, parts["words"].scale.high) == (3.0, True, 4.0)
    assert made.graded_scores() == ["polite", "words"]
    assert made.part_scores(made.prompts()[:1], ["yes please"])["words"].tolist() == [-2.0]
    assert made.feedback_keys(MODEL) != several(path, scores=[]).feedback_keys(MODEL)


def test_one_score_of_a_weighted_scorer_is_its_mean(path: Path) -> None:
    made = several(path, scores=[])
    rows = made.graded_rows(rollouts, None)

    assert [(row.completion, row.scores, row.score) for row in rows[:2]] == [
        ("yes", {}, 0.5625),
        ("yes please", {}, 0.625),
    ]
    assert made.score_names() == made.graded_scores() == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scores": ["polite", "word"]}, "task.scores: there is no score 'word'. Did you mean words?"),
        ({"scorer": LengthScorer()}, "task.scores=[polite,words] with scorer=length: several scores are parts of"),
        ({"scorer": None}, "task.scores=[polite,words] with no scorer: several scores are parts of scorer=weighted"),
        ({"score_direction": "lower"}, "task.score_direction=lower with task.scores: the parts of the scorer have"),
        ({"scale": [0.0, 1.0]}, "task.scale=[0.0, 1.0] with task.scores"),
        ({"scores": ["polite", "polite"]}, "task.scores: polite is named twice"),
    ],
)
def test_several_scores_that_the_scorer_does_not_give(path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        several(path, **settings).check()
    assert said in str(error.value)
