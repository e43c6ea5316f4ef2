"""Rounds: what names their folders, and which tasks cannot have them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import LevelRule
from gcsl_cli.data.records import FeedbackRow, FeedbackRows
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.stages.experiment import Experiment
from gcsl_cli.stages.rounds.chain import Round, Rounds, rollout_tokens, rounds_of
from gcsl_cli.stages.rounds.validation import Validated
from tests.unit.goals.toy import toy_spec

pytestmark = pytest.mark.usefixtures("remembered_composition")

Chain = Callable[..., list[Experiment]]


@pytest.fixture
def chain(tiny_model: Path, prompts: Path) -> Chain:
    """The experiments of a config."""

    def composed(*overrides: str) -> list[Experiment]:
        lines = ["model=local", f"model.uri={tiny_model}", f"task.prompts_uri={prompts}", "task.prompts_sha256=null"]
        return list(rounds_of(configs.load([*lines, "task.feedback.texts=null", *overrides])))

    return composed


def folders(experiments: list[Experiment]) -> list[str]:
    return [folder.path.name for one in experiments for folder in (one.feedback, one.training)]


def test_a_longer_chain_begins_with_the_shorter_one(chain: Chain) -> None:
    one, two, three = (folders(chain(f"rounds.count={count}")) for count in (1, 2, 3))

    assert two == three[:4]
    assert one == two[:2]
    assert len(set(three)) == 6
    assert [name.rpartition("-")[0].rpartition("-")[2] for name in three[2:]] == [
        "round2",
        "round2",
        "round3",
        "round3",
    ]


def test_settings_of_rounds_leave_a_single_round_as_it_is(chain: Chain) -> None:
    changed = ["rounds.guidance=4", "rounds.keep=2", "rounds.extend=true", "rounds.start=last", "rounds.stop.gain=0.1"]

    assert folders(chain(*changed)) == folders(chain())


@pytest.mark.parametrize(
    ("override", "feedback", "training"),
    [
        ("rounds.keep=last", False, False),
        ("rounds.keep=1", False, False),
        ("rounds.guidance=3", False, False),
        ("rounds.mix={best: 1}", False, False),
        ("rounds.mix={best: 0.5, lower: 0.25, guided: 0.25}", True, True),
        ("rounds.start=last", True, False),
        ("rounds.extend=true", True, False),
        ("rounds.stop.divergence=0.5", True, True),
        ("task.feedback.samples=3", False, False),
        ("train.batch_size=8", False, False),  # another first policy
    ],
)
def test_a_changed_setting_is_another_second_round(
    chain: Chain, override: str, *, feedback: bool, training: bool
) -> None:
    (_, before), (_, after) = chain("rounds.count=2"), chain("rounds.count=2", override)

    assert (before.feedback.identity == after.feedback.identity) is feedback
    assert (before.training.identity == after.training.identity) is training


def test_guidance_that_the_mix_has_no_use_for_names_nothing(chain: Chain) -> None:
    found = [
        chain("rounds.count=2", "rounds.mix={best: 1}", f"rounds.guidance={weight}")[1].feedback.identity
        for weight in (1, 2)
    ]

    assert found[0] == found[1]


def test_seeds_of_a_round_are_compared(chain: Chain) -> None:
    """Each samples a policy of its own, in the same way."""
    one, other = (chain("rounds.count=2", f"seed={seed}")[1] for seed in (0, 1))

    assert one.feedback.identity != other.feedback.identity
    assert one.feedback_origin == other.feedback_origin
    assert one.feedback_origin != chain("rounds.count=2", "rounds.keep=last")[1].feedback_origin


def test_another_prompts_file_is_another_chain(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    found = []
    for count in (40, 41):
        path.write_text("\n".join(f"prompt {number}" for number in range(count)), encoding="utf-8")
        found.append(folders(chain("rounds.count=2", f"task.prompts_uri={path}")))

    assert not set(found[0]) & set(found[1])


def test_a_named_run_has_a_folder_for_each_round(chain: Chain, tmp_path: Path) -> None:
    found = chain("rounds.count=2", f"run={tmp_path}")

    assert [one.training.path for one in found] == [tmp_path / "round-1", tmp_path / "round-2"]


def test_given_feedback_has_no_second_round(chain: Chain, rtp: Path) -> None:
    given = ["task.feedback.source=rtp", f"task.feedback.path={rtp}"]
    assert len(chain(*given)) == 1
    with pytest.raises(ConfigError, match="with task=toxicity, whose feedback is given"):
        chain(*given, "rounds.count=2")


def test_rounds_end_where_the_result_is_the_round_before(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores 0.5, 0.7, 0.6: the third round is trained, the second is the result, the fourth never starts."""
    scores = iter([0.5, 0.7, 0.6])
    monkeypatch.setattr("gcsl_cli.stages.rounds.chain.validated", lambda _: Validated(next(scores), 0.0))
    rounds = Rounds(chain("rounds.count=4", "rounds.stop.gain=0")[0].config)

    assert [experiment.number for experiment in rounds] == [1, 2, 3]
    assert rounds.chosen.number == 2
    assert rounds.summary()[1][1].startswith("after round 3: its mean score on validation prompts is 0.600")


def test_rounds_without_a_rule_all_happen(chain: Chain) -> None:
    rounds = Rounds(chain("rounds.count=3")[0].config)

    assert [experiment.number for experiment in rounds] == [1, 2, 3]
    assert (rounds.chosen.number, rounds.reason) == (3, "")


def levels_after(chain: Chain, newest: list[float], before: tuple[float, ...] = (0.0, 0.5, 0.9)) -> list[float]:
    """The fixed levels of round 2, whose rows have the scores `newest`; round 1 had one row with 0.1."""
    _, second = chain("rounds.count=2", "rounds.extend=true")
    previous: Any = SimpleNamespace(spec=toy_spec(levels=before))
    second.previous = previous
    sources = ["rollouts", *["round 2: rollouts"] * len(newest)]
    feedback = FeedbackRows.of(
        FeedbackRow("p", str(place), score, "1", "train", True, source)
        for place, (score, source) in enumerate(zip([0.1, *newest], sources, strict=True))
    )
    assert isinstance(second, Round)
    config = second.goal_config(feedback)
    assert config.goal.levels.by is LevelRule.auto
    return config.goal.levels.values


def test_tokens_of_a_damaged_shard_cannot_be_counted(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"00000\.parquet: cannot be read as Parquet"):
        rollout_tokens(SimpleNamespace(feedback=SimpleNamespace(path=tmp_path)))  # type: ignore[arg-type]


def test_a_level_is_added_where_most_new_rows_reach_the_best(chain: Chain) -> None:
    """Four of five reach 0.9: 0.92, 0.94, 0.96 and 0.98, of which half reach 0.96."""
    assert levels_after(chain, [0.2, 0.92, 0.94, 0.96, 0.98]) == [0.5, 0.9, 0.96]


def test_no_level_is_added_where_few_reach_the_best_or_all_are_equal(chain: Chain) -> None:
    assert levels_after(chain, [0.2, 0.3, 0.94, 0.96]) == [0.5, 0.9]
    assert levels_after(chain, [0.9, 0.9, 0.9]) == [0.5, 0.9]


def test_added_levels_stay_while_rows_reach_them(chain: Chain) -> None:
    assert levels_after(chain, [0.2, 0.3, 0.97], before=(0.0, 0.5, 0.9, 0.95)) == [0.5, 0.9, 0.95]
    assert levels_after(chain, [0.2, 0.3, 0.94], before=(0.0, 0.5, 0.9, 0.95)) == [0.5, 0.9]
