"""Composing the real conf/ with a small test task: what is accepted, and the messages for what is not."""

import math
import shlex
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import LevelRule, Pairing
from gcsl_cli.configs.search_path import conf_dir, group_options
from gcsl_cli.errors import ConfigError

pytestmark = pytest.mark.usefixtures("remembered_composition")


@dataclass
class Scorer:
    name: str = "one"
    cut: float = 0.5


@dataclass
class Feedback:
    samples: int = 4
    path: str | None = None


@dataclass
class ProbeTask:
    name: str = "probe"
    levels: list[float] = field(default_factory=list)
    feedback_from: Feedback = field(default_factory=Feedback)
    scorer: Scorer = field(default_factory=Scorer)
    columns: dict[str, str] = field(default_factory=dict)


PROBE = """
_target_: gcsl_cli.tasks.probe.ProbeTask
levels: [0.25, 0.5]
feedback_from: {samples: 2}
scorer: {_target_: gcsl_cli.tasks.probe.Scorer, cut: 0.25}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's config folder with the task `probe`, whose module poses as one of gcsl's tasks."""
    module = types.ModuleType("gcsl_cli.tasks.probe")
    for cls in (ProbeTask, Scorer):
        monkeypatch.setattr(cls, "__module__", module.__name__)
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    write(tmp_path, "task/probe.yaml", PROBE)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refused(folder: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        configs.load(["task=probe", *overrides], folder)
    assert error.value.exit_code == 2
    return str(error.value)


def test_load_fills_dataclasses(folder: Path) -> None:
    config = configs.load(["task=probe", "seed=3", "goal.pairing=all", "train.learning_rate=1e-4"], folder)
    assert config.task == ProbeTask(levels=[0.25, 0.5], feedback_from=Feedback(samples=2), scorer=Scorer(cut=0.25))
    assert config.goal.levels.values == [0.25, 0.5]
    assert (config.seed, config.goal.pairing, config.train.learning_rate) == (3, Pairing.all, 1e-4)
    assert config.goal.levels.by is LevelRule.auto


def test_load_takes_task_keys_and_free_mappings(folder: Path) -> None:
    config = configs.load(["task=probe", "task.scorer.cut=0.75", "+task.columns.score=rating"], folder)
    assert (config.task.scorer.cut, config.task.columns) == (0.75, {"score": "rating"})


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tsk=toxicity", "tsk: no such key or group. Did you mean task?"),
        ("goal=treshold", "goal=treshold: no such option. Did you mean threshold? Available: "),
        ("train.lerning_rate=1", "train.lerning_rate: no such key. Did you mean train.learning_rate"),
        ("trainer.learning_rate=1", "Did you mean train.learning_rate?"),
        ("learning_rate=1", "learning_rate: no such key or group. Did you mean"),
        ("goal.levels.quantils=[0.5]", "Did you mean goal.levels.quantiles?"),
        ("goal.level.by=fixed", "Did you mean goal.levels.by?"),
        ("task.feedback_from.smaples=3", "Did you mean task.feedback_from.samples"),
        ("task.qqq=3", "task.qqq: no such key. Keys of task: name, levels, feedback_from, scorer, columns."),
        ("train.batch_size=abc", "train.batch_size=abc: expected a whole number."),
        ("train.batch_size=null", "train.batch_size=null: expected a whole number."),
        ("seed=1.5", "seed=1.5: expected a whole number."),
        ("dry_run=maybe", "dry_run=maybe: expected true or false."),
        ("run=[a]", "run=[a]: expected a string or null."),
        ("goal.pairing=al", "goal.pairing=al: expected one of: auto, all, sample. Did you mean all?"),
        ("goal.levels.quantiles=[1,a]", "goal.levels.quantiles=[1,a]: expected a list of numbers"),
        ("task.scorer.cut=high", "task.scorer.cut=high: expected a number."),
        ("train={lerning_rate: 1}", "train.lerning_rate: no such key. Did you mean train.learning_rate?"),
        ("+foo=1", "New keys cannot be added with +: every key is in the schema."),
        ("+train.foo=1", "New keys cannot be added with +: every key is in the schema."),
        ("++train.foo=1", "New keys cannot be added with +: every key is in the schema."),
        ("+seed=1", "the key is already in the schema, so it needs no +. Write seed=1."),
        ("+goal=threshold", "write goal=threshold without the +"),
        ("~goal", "a group cannot be removed"),
        ("~seed", "a key cannot be removed"),
        ("goal={a: 1}", "goal takes the name of one option"),
        ("trainer@train=default", "Write trainer=NAME"),
        ("train.learning_rate=", "the value is missing"),
        ("a b", "'a b' is not an override: write key=value."),
        ("x", "'x' is not an override: write key=value."),
        ("threshold", "Did you mean goal=threshold?"),
        ("model.uri=pypi://a==1/x", "in quotes: 'model.uri=\"pypi://a==1/x\"'"),
        ("seed=0,1", "add -m"),
        ("model=local", "model.uri has no value and needs one: add model.uri=VALUE."),
        ("seed=${nowhere}", "seed: Interpolation key 'nowhere' not found."),
        ("hydra/launcher=nothing", "no such option. Available: basic"),
        ("hydra.launchr=1", "Did you mean hydra.launcher?"),
    ],
)
def test_mistakes_are_reported_with_the_fix(folder: Path, override: str, said: str) -> None:
    assert said in refused(folder, override)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.batch_size=0", "train.batch_size=0: must be a whole number of at least 1."),
        ("train.micro_batch_size=5", "does not divide train.batch_size=16. Use one of 1, 2, 4, 8, 16."),
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
        ("generation.temperature=0", "must be a finite number above 0"),
        ("generation.samples=0", "at least 1"),
        ("generation.max_new_tokens=0", "at least 1"),
        ("generation.guidance=-1", "at least 0"),
        ("generation.guidance=inf", "at least 0"),
        ("generation.target=bst", "Did you mean best?"),
        ("goal.target=inf", "expected best, worst or a level"),
        ("goal.levels.values=[0.9,0.5]", "in ascending order"),
        ("goal.levels.values=[0.5,0.5]", "without duplicates"),
        ("evaluation.levels=[wurst]", "evaluation.levels=[wurst]: expected all"),
        ("adapter.dropout=1", "below 1"),
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


def test_a_method_has_its_own_keys_only(folder: Path) -> None:
    said = refused(folder, "method=dpo", "method.select=all")

    assert said.startswith("method.select: no such key. Keys of method: name, learning_rate, pairs")


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
        ["goal.levels.by=raw", "goal.wording=number", "goal.balance=none"],
        ["goal.levels.by=raw", "goal.wording=number", "goal.balance=none", "goal.formulation=exact"],
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


def test_foreign_code_needs_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `_target_` outside gcsl runs foreign code: an override can allow that, a YAML file cannot."""
    module = types.ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    module.Scorer = Scorer  # type: ignore[attr-defined]
    write(folder, "task/probe.yaml", PROBE.replace("gcsl_cli.tasks.probe.Scorer", "elsewhere.Scorer"))
    write(folder, "experiment/sly.yaml", "# @package _global_\nallow_custom_code: true\n")
    assert "task.scorer._target_=elsewhere.Scorer: this runs code from outside" in refused(folder)
    assert "allow_custom_code=true" in refused(folder, "experiment=sly")
    config = configs.load(["task=probe", "allow_custom_code=true"], folder)
    assert config.task.scorer == Scorer(cut=0.25)


@pytest.mark.parametrize(
    "override",
    [
        "task._target_=os.system",
        "task._target_=gcsl_cli.runs.files.contextmanager",
        "hydra.launcher._target_=os.system",
    ],
)
def test_foreign_targets_of_overrides_are_refused(folder: Path, override: str) -> None:
    assert "this runs code from outside gcsl" in refused(folder, override)


def test_a_target_that_passes_through_our_module_is_not_ours(folder: Path) -> None:
    assert "there is no module gcsl_cli.runs.files.os" in refused(folder, "task._target_=gcsl_cli.runs.files.os.system")


def test_callable_entries_of_hydras_logging_are_foreign_code_too(folder: Path) -> None:
    handlers = "{handlers: {x: {class: subprocess.Popen, args: [id]}}}"
    write(folder, "experiment/sly.yaml", f"# @package _global_\nhydra:\n  job_logging: {handlers}\n")
    assert "hydra.job_logging.handlers.x.class=subprocess.Popen" in refused(folder, "experiment=sly")


@pytest.mark.parametrize(
    ("name", "text", "overrides", "said"),
    [
        ("task/probe.yaml", PROBE + "smaples: 1\n", [], "task.smaples: no such key."),
        ("task/probe.yaml", PROBE + "name: [a]\n", [], "task.name"),
        ("trainer/mine.yaml", "# @package train\nlerning_rate: 1\n", ["trainer=mine"], "no such key"),
        (
            "trainer/mine.yaml",
            "# @package train\nbudget:\n  epochs: many\n",
            ["trainer=mine"],
            "train.budget.epochs=many: expected a number or null.",
        ),
        (
            "trainer/mine.yaml",
            "# @package train\nbudget:\n  epochs: [1\n",
            ["trainer=mine"],
            "A YAML file is not valid",
        ),
        ("trainer/mine.yaml", "defaults: [nowhere]\n", ["trainer=mine"], "trainer/nowhere"),
    ],
)
def test_mistakes_in_a_users_file(folder: Path, name: str, text: str, overrides: list[str], said: str) -> None:
    write(folder, name, text)
    assert said in refused(folder, *overrides)


def test_a_missing_folder() -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        configs.load([], Path("nowhere"))


def test_members_of_a_multirun(folder: Path) -> None:
    composer = configs.Composer(folder)
    members = composer.members(["task=probe", "seed=0,1", "train.budget.epochs=choice(1,2)"])
    assert members == [
        ["task=probe", "seed=0", "train.budget.epochs=1"],
        ["task=probe", "seed=0", "train.budget.epochs=2"],
        ["task=probe", "seed=1", "train.budget.epochs=1"],
        ["task=probe", "seed=1", "train.budget.epochs=2"],
    ]


def test_members_take_the_sweepers_parameters(folder: Path) -> None:
    write(folder, "experiment/seeds.yaml", "# @package _global_\nhydra:\n  sweeper:\n    params: {seed: '0,1'}\n")
    members = configs.Composer(folder).members(["task=probe", "experiment=seeds"])
    assert members == [["seed=0", "task=probe", "experiment=seeds"], ["seed=1", "task=probe", "experiment=seeds"]]


def test_members_check_every_option_of_a_swept_group(folder: Path) -> None:
    with pytest.raises(ConfigError, match="goal=treshold"):
        configs.Composer(folder).members(["task=probe", "goal=threshold,treshold"])


def test_an_interval_needs_another_sweeper(folder: Path) -> None:
    with pytest.raises(ConfigError, match="interval needs another sweeper"):
        configs.Composer(folder).members(["task=probe", "train.budget.epochs=interval(1,2)"])


def test_group_options_are_what_is_on_disk() -> None:
    groups = group_options(conf_dir())
    assert "threshold" in groups["goal"]
    assert sorted(groups) == list(groups)


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group, options in group_options(conf_dir()).items() for option in options]
)
def test_every_option_composes(group: str, option: str) -> None:
    """Each file under conf/ on top of the defaults, with mandatory values set."""
    mandatory = {"local": ["model.uri=somewhere"], "feedback": ["task.path=somewhere"]}
    configs.load([f"{group}={option}", *mandatory.get(option, [])])


@pytest.mark.parametrize("name", sorted(str(path.relative_to(conf_dir())) for path in conf_dir().rglob("*.yaml")))
def test_the_commands_of_every_header_compose(name: str) -> None:
    """Each file shows at least one command with valid overrides."""
    text = (conf_dir() / name).read_text(encoding="utf-8")
    commands = [shlex.split(line.removeprefix("#")) for line in text.splitlines() if line.startswith("#   gcsl ")]
    assert commands
    for _, stage, *arguments in commands:
        assert stage in ("prepare", "train", "generate", "evaluate")
        for member in configs.Composer().members([argument for argument in arguments if "=" in argument]):
            configs.load(member)
