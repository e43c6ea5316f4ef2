"""Values out of range and goals that make no sense are refused, with the reason and the fix."""

import math
from pathlib import Path

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import LevelRule
from tests.unit.configs.probe import refused

pytestmark = pytest.mark.usefixtures("remembered_composition")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.batch_size=0", "train.batch_size=0: must be a whole number of at least 1."),
        ("train.micro_batch_size=5", "does not divide train.batch_size=16. Use a divisor, such as 4."),
        ("train.learning_rate=0", "must be a finite number above 0"),
        ("train.learning_rate=.nan", "expected a number"),
        ("train.learning_rate=nan", "must be a finite number above 0"),
        ("train.budget.epochs=-1", "must be a finite number above 0"),
        ("train.budget.seconds=0", "must be a finite number above 0"),
        ("train.budget.tokens=0", "must be a whole number of at least 1"),
        ("train.budget={tokens: 9, epochs: 2}", "train.budget.tokens=9: a run has one budget. Set only one of them."),
        ("train.lr_schedule=cosin", "Did you mean cosine?"),
        ("generation.top_p=0", "must be above 0 and at most 1"),
        ("generation.top_p=1.1", "must be above 0 and at most 1"),
        ("generation.temperature=0", "must be a number from 0.001 to 1000"),
        ("generation.temperature=1e-320", "must be a number from 0.001 to 1000"),
        ("generation.temperature=nan", "must be a number from 0.001 to 1000"),
        ("generation.samples=0", "at least 1"),
        ("generation.max_new_tokens=0", "at least 1"),
        ("generation.guidance=-1", "from 0 to 1000"),
        ("generation.guidance=inf", "from 0 to 1000"),
        ("seed=-1", "seed=-1: must be a whole number from 0 to 4294967295"),
        ("seed=4294967296", "seed=4294967296: must be a whole number from 0 to 4294967295"),
        ("evaluation.seed=4294967296", "from 0 to 4294967295"),
        ("task.feedback_from.seed=4294967296", "task.feedback_from.seed=4294967296: must be a whole number from 0"),
        ("task.scorer.texts_sha256=zz", "task.scorer.texts_sha256=zz: expected the 64 hexadecimal digits"),
        ("model.sha256=''", "model.sha256=: expected the 64 hexadecimal digits"),
        ("train.batch_size=1000000000000", "must be at most 2147483647"),
        ("run=''", "run is empty: give the path of a folder"),
        ("runs_dir=' '", "runs_dir is empty: give the path of a folder"),
        (f"run={'x' * 256}", "a part of a path is at most 255 printable characters"),
        (f"run='a/{'ü' * 128}/b'", "a part of a path is at most 255 printable characters"),
        (f"run={'a/' * 1500}b", "a path is at most 3000 bytes long"),
        ("task.name=../x", "task.name=../x: it becomes part of a folder's name"),
        ("task.name=..", "task.name=..: it becomes part of a folder's name"),
        ("model.name=a/b", "model.name=a/b: it becomes part of a folder's name"),
        ("model.name=''", "model.name=: it becomes part of a folder's name"),
        ('model.name="a\\nb"', "it becomes part of a folder's name"),
        (f"model.name={'x' * 101}", "one to 100 printable characters without slashes"),
        ("adapter.target_modules=5", "expected all-linear, a list of module names or a regular expression"),
        ("adapter.target_modules=[]", "expected all-linear, a list of module names or a regular expression"),
        ("goal.sentences=[]", "goal.sentences=[]: give one sentence per level"),
        ("goal.sentences=['','','']", "goal.sentences=[,,]: a sentence is empty"),
        ("goal.sentences=[a,b,a]", "goal.sentences=[a,b,a]: a sentence occurs twice"),
        ("evaluation.discrimination_cut=nan", "must be a finite score, or null for the median"),
        ("generation.target=bst", "Did you mean best?"),
        ("goal.target=inf", "expected best, worst or a level"),
        ("goal.levels.values=[0.9,0.5]", "in ascending order"),
        ("goal.levels.values=[0.5,0.5]", "without duplicates"),
        ("evaluation.levels=[wurst]", "evaluation.levels=[wurst]: expected all"),
        ("adapter.dropout=1", "below 1"),
        ("adapter.r=100000000", "adapter.r=100000000: must be a number from 1 to 65536"),
    ],
)
def test_values_out_of_range_are_refused(folder: Path, override: str, said: str) -> None:
    assert said in refused(folder, override)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("method=dpo method.beta=0", "method.beta=0.0: must be a finite number above 0"),
        ("method=dpo method.margin=-1", "method.margin=-1.0: must be a finite number of at least 0"),
        ("method=dpo method.max_pairs=0", "method.max_pairs=0: must be a whole number of at least 1"),
        ("method=kto method.threshold=nan", "must be a finite grade, or null for the median"),
        ("method=dpo method.pairs=some", "best_worst, all, adjacent"),
    ],
)
def test_a_methods_values_out_of_range_are_refused(folder: Path, overrides: str, said: str) -> None:
    assert said in refused(folder, *overrides.split())


@pytest.mark.parametrize("quantiles", ["[0.2,0.1]", "[0,1.5]", "[0.5,0.5]", "[]"])
def test_quantiles_are_checked_when_they_are_used(folder: Path, quantiles: str) -> None:
    line = f"goal.levels.quantiles={quantiles}"
    for rule in ("auto", "quantile"):
        assert "from 0 to 1 in ascending order" in refused(folder, f"goal.levels.by={rule}", line)
    assert configs.load(["task=probe", "goal.levels.by=fixed", line], folder).goal.levels.by is LevelRule.fixed


def test_values_are_needed_where_levels_are_fixed(folder: Path) -> None:
    assert "one or more finite numbers" in refused(folder, "goal.levels.by=fixed", "goal.levels.values=[]")
    assert configs.load(["task=probe", "goal.levels.values=[]"], folder).goal.levels.values == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["goal.formulation=exact", "goal.pairing=all"], "a row has only one exact goal"),
        (["goal.levels.by=raw"], "only numbers can express them all. Use goal.wording=number"),
        (["goal.levels.by=raw", "goal.wording=token"], "goal.levels.by=raw with goal.wording=token"),
        (["goal.levels.by=raw", "goal.wording=number", "goal.pairing=all"], "reaches every lower score"),
        (["goal.levels.by=raw", "goal.wording=number"], "Use goal.balance=none"),
        (
            ["goal.levels.by=raw", "goal.wording=number", "goal.balance=none", "goal.weights=[1,2]"],
            "raw scores have no levels to weight",
        ),
        (["goal.levels.per=prompt"], "goal.levels.per=prompt with goal.levels.by=auto: only quantiles"),
        (["goal.levels.per=prompt", "goal.levels.by=distinct"], "only quantiles can be computed per prompt"),
        (["goal.sentences=[a,b]", "goal.wording=number"], "numbers have no sentences"),
        (["goal.sentences=[a,b]", "goal.template='{level}'"], "Set only one of them"),
        (["goal.tokens=2"], "goal.tokens=2 with goal.wording=language: there are no control tokens"),
        (["goal.tokens=101", "goal.wording=token"], "goal.tokens=101: must be at most 100 per level"),
        (["evaluation.levels=all", "evaluation.discrimination_cut=inf"], "must be a finite score"),
        (["goal.tokens=0", "goal.wording=token"], "goal.tokens=0: must be a whole number of at least 1"),
        (["train.control_token_learning_rate=0.1"], "without control tokens has no effect"),
        (["train.control_token_learning_rate=0", "goal.wording=token"], "must be a finite number above 0"),
        (
            ["train.control_token_learning_rate=0.1", "goal.wording=token", "adapter=none"],
            "with adapter=none: full fine-tuning trains all embeddings at train.learning_rate",
        ),
        (["goal.dropout=1"], "goal.dropout=1.0: must be at least 0 and below 1"),
        (["goal.dropout=-0.1"], "must be at least 0 and below 1"),
        (["goal.weights=[-1,1]"], "finite numbers of at least 0"),
        (["goal.weights=[0,0]"], "at least one must be above 0"),
        (["generation.against=wrst"], "expected worst, none, or a level. Did you mean worst?"),
        (["generation.against=nan"], "generation.against=nan: expected worst, none, or a level"),
    ],
)
def test_goals_that_make_no_sense_are_refused_with_the_reason(folder: Path, lines: list[str], said: str) -> None:
    assert said in refused(folder, *lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["goal=gcsl_bey", "goal.levels.by=raw", "goal.wording=number", "goal.balance=none"],
        ["goal=exact", "goal.levels.by=raw", "goal.wording=number", "goal.balance=none"],
        ["goal.levels.per=prompt", "goal.levels.by=quantile", "goal.wording=token", "goal.pairing=all"],
        ["goal.formulation=exact", "goal.weights=[0,1]", "goal.dropout=0.5", "generation.against=none"],
        ["goal.sentences=[a,b,c]", "goal.wording=token", "generation.against=0.5"],
        ["goal.tokens=8", "goal.wording=token", "train.control_token_learning_rate=0.1", "adapter=lora"],
    ],
)
def test_goals_that_make_sense_are_accepted(folder: Path, lines: list[str]) -> None:
    assert configs.load(["task=probe", *lines], folder).task == configs.load(["task=probe"], folder).task


def test_limits_themselves_are_allowed(folder: Path) -> None:
    lines = ["generation.top_p=1", "generation.guidance=0", "train.micro_batch_size=16", "evaluation.levels=all"]
    config = configs.load(["task=probe", *lines], folder)
    assert (config.generation.top_p, config.train.micro_batch_size) == (1.0, 16)
    assert math.isfinite(config.generation.guidance)
