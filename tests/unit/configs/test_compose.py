"""Composing the real conf/ with a small test task: what is accepted, and the messages for what is not."""

import json
import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from gcsl_cli import configs
from gcsl_cli.configs.choices import LevelRule, Pairing
from gcsl_cli.configs.compose import PLUGINS
from gcsl_cli.configs.hydra_internals import loader_class
from gcsl_cli.configs.schema import Config
from gcsl_cli.configs.search_path import conf_dir, group_options
from gcsl_cli.errors import ConfigError, DependencyError
from tests.unit.configs.probe import PROBE, Feedback, ProbeTask, Scorer, refused, write

NOT_PLAIN = ("train", "export", "second_scorer")
"""Keys of the root that are no groups, but have values that are no single ones."""
MANDATORY = {
    "feedback": ["task.path=somewhere"],
    "judge": ["scorer.base_url=http://localhost", "scorer.model=any"],
    "local": ["model.uri=somewhere"],
    "prompts": ["task.path=somewhere"],
    "python": ["scorer.function=file.py:name", "allow_custom_code=true"],
    "reward_model": ["scorer.uri=somewhere"],
    "perplexity": ["scorer.uri=somewhere"],
}

LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))
"""A thousand million values in ten lines."""

pytestmark = pytest.mark.usefixtures("remembered_composition")


def test_load_fills_dataclasses(folder: Path) -> None:
    config = configs.load(["task=probe", "seed=3", "goal.pairing=all", "train.learning_rate=1e-4"], folder)
    assert config.task == ProbeTask(levels=[0.25, 0.5], feedback_from=Feedback(samples=2), scorer=Scorer(cut=0.25))
    assert config.goal.levels.values == [0.25, 0.5]
    assert (config.seed, config.goal.pairing, config.train.learning_rate) == (3, Pairing.all, 1e-4)
    assert config.goal.levels.by is LevelRule.auto


def test_load_takes_task_keys_and_free_mappings(folder: Path) -> None:
    config = configs.load(["task=probe", "task.scorer.cut=0.75", "+task.columns.score=rating"], folder)
    assert (config.task.scorer.cut, config.task.columns) == (0.75, {"score": "rating"})


@pytest.mark.parametrize("line", ["+distributed.zero.a.b=1", "+distributed.zero={a: {b: 1}}"])
def test_free_mappings_take_new_keys_at_any_depth(folder: Path, line: str) -> None:
    assert configs.load(["task=probe", line], folder).distributed.zero == {"a": {"b": 1}}


@pytest.mark.parametrize("command", [["task=probe"], ["task=probe", "dry_run=true"]])
def test_a_launcher_without_jobs_is_refused_in_a_single_run_too(folder: Path, command: list[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    said = refused(folder, *command, "hydra/launcher=joblib", "hydra.launcher.n_jobs=0")
    assert said.startswith("hydra.launcher.n_jobs=0: must be the number of runs")


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
        ("train.learning_rate=", "train.learning_rate=: the value is missing. Write train.learning_rate=VALUE."),
        ("method=", "method=: the value is missing. Write method=NAME. Available: dpo, gcsl,"),
        ("=1", "'=1' is not an override: the key is missing."),
        ("a b", "'a b' is not an override: write key=value."),
        ("x", "'x' is not an override: write key=value."),
        ("threshold", "Did you mean goal=threshold?"),
        ("model.uri=pypi://a==1/x", "in quotes: 'model.uri=\"pypi://a==1/x\"'"),
        ("seed=0,1", "add -m"),
        ("model=local", "model.uri has no value and needs one: add model.uri=VALUE."),
        ("seed=${nowhere}", "seed: Interpolation key 'nowhere' not found."),
        ("hydra/launcher=nothing", "no such option. Available: basic"),
        ("hydra.launchr=1", "Did you mean hydra.launcher?"),
        ("hydra.launcher=null", "hydra.launcher=None: expected a group of keys. Choose one with hydra/launcher=NAME."),
        ("hydra/launcher=null", "hydra/launcher=null: no such option. Available: basic"),
        ("goal=null", "goal=null: goal takes the name of one option: "),
        ("experiment=null", "experiment=null: experiment takes the name of one option: "),
        ("train..seed=1", "'train..seed' is not a key. A key is names joined by dots."),
        ("seed[0]=1", "'seed[0]' is not a key."),
        ("rounds.mix.best=1", "rounds.mix has no keys of its own. Set it as a whole: rounds.mix=VALUE."),
        ("scorer.nope=1", "scorer.nope: no scorer is chosen. Choose one with scorer=NAME."),
        ("distributed.zero.a=1", "distributed.zero.a=1: a new key needs a +. Write +distributed.zero.a=1."),
        ("distributed.zero={a: 1}", "a new key needs a +. Write +distributed.zero={a: 1}."),
        ("distributed.zero.a.b=1", "a new key needs a +. Write +distributed.zero.a.b=1."),
    ],
)
def test_mistakes_are_reported_with_the_fix(folder: Path, override: str, said: str) -> None:
    assert said in refused(folder, override)


@pytest.mark.parametrize("text", ["a,b.jsonl", "o'brien.jsonl", 'say "so", please', "a b: {c}=d", 'it\'s "a", b'])
def test_texts_can_be_pasted_as_advised(folder: Path, text: str) -> None:
    """Into a shell: the last of the advised overrides sets the key to the text."""
    said = refused(folder, f"model.uri={text}")
    advised = re.findall(r"""(?:quotes:|text as) ('model.+?')(?:\.$|\)\.$)""", said)
    (line,) = shlex.split(advised[0])

    assert configs.Composer(folder).compose([line]).model.uri == text


@pytest.mark.parametrize(("option", "extra"), PLUGINS.items())
def test_a_plugin_that_is_not_installed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, str], extra: str
) -> None:
    """The extra exists."""
    monkeypatch.setattr(loader_class(), "get_group_options", lambda *_: ["basic"])
    with pytest.raises(DependencyError) as error:
        configs.Composer(folder).members(["=".join(option)])
    assert str(error.value) == f'{"=".join(option)} needs a package: pip install "gcsl-cli[{extra}]".'
    project = tomllib.loads((conf_dir().parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]


@pytest.mark.parametrize(
    ("module", "lines"),
    [
        ("joblib", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("submitit", ["hydra/launcher=submitit_slurm", "hydra.launcher.tasks_per_node=1"]),
        ("ray", ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]),
    ],
)
def test_a_multirun_of_another_launcher_has_the_same_members(folder: Path, module: str, lines: list[str]) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{module}_launcher")
    members = configs.Composer(folder).members(["task=probe", *lines, "seed=0,1"])
    assert [configs.load(member, folder).seed for member in members] == [0, 1]


def test_a_sweeper_that_chooses_values(folder: Path) -> None:
    """One member stands for all runs; jobs return a number of which lower is better, so nothing is maximized."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    lines = ["task=probe", "hydra/sweeper=optuna", "train.learning_rate=interval(1e-5,1e-3)", "seed=4"]
    (member,) = configs.Composer(folder).members(lines)
    assert configs.load(member, folder).seed == 4
    with pytest.raises(ConfigError, match=r"hydra.sweeper.direction=maximize: .* lower is better"):
        configs.Composer(folder).members([*lines, "hydra.sweeper.direction=maximize"])


def test_a_method_has_its_own_keys_only(folder: Path) -> None:
    """A key of another method says which one; others are listed."""
    said = refused(folder, "method=dpo", "method.select=all")
    assert said == "method.select: no such key of this method. It is a key of method=sft."
    assert refused(folder, "method=dpo", "method.x=1").startswith("method.x: no such key. Keys of method: name, ")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("null", "method._target_ has no value"),
        ("gcsl_cli.methods.sft.Selection", "gcsl_cli.methods.sft.Selection: not a dataclass"),
        ("gcsl_cli.methods.base.Method", "does not implement describe, examples, trainer"),
        ("gcsl_cli.methods.base.TrainerInputs", "does not derive from gcsl_cli.methods.base.Method"),
        ("gcsl_cli.methods.kto.KTO", "method.name=gcsl: this method is called kto. Use method=kto."),
    ],
)
def test_a_class_that_is_not_the_method_is_refused(folder: Path, target: str, said: str) -> None:
    assert said in refused(folder, f"method._target_={target}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "method: its config is not a mapping"),
        ("name: x\n", "method._target_ has no value"),
        ("_target_: gcsl_cli.methods.dpo.DPO\nname: dpo\nbeta: high\n", "method.beta=high: expected a number."),
        ("_target_: gcsl_cli.methods.broken.X\n", "there is no module gcsl_cli.methods.broken"),
    ],
)
def test_a_methods_file_that_cannot_be_used_is_refused(folder: Path, text: str, said: str) -> None:
    write(folder, "method/mine.yaml", text)

    assert said in refused(folder, "method=mine")


def test_a_module_that_cannot_be_imported_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "unclosed.py").write_text("x = (\n")
    monkeypatch.syspath_prepend(folder)

    said = refused(folder, "method._target_=unclosed.X", "allow_custom_code=true")
    assert said.startswith("_target_=unclosed.X: importing unclosed failed (SyntaxError: ")


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
            "trainer/mine.yaml:4: not valid YAML: expected ',' or ']', but got '<stream end>'.",
        ),
        ("trainer/mine.yaml", "x: 1\nx: 2\n", ["trainer=mine"], "mine.yaml:2: not valid YAML: found duplicate key x."),
        (
            "trainer/mine.yaml",
            "x: !!python/name:os.system\n",
            ["trainer=mine"],
            "mine.yaml:1: not valid YAML: could not",
        ),
        ("trainer/mine.yaml", "x: \0\n", ["trainer=mine"], "trainer/mine.yaml: cannot be read: unacceptable character"),
        ("trainer/mine.yaml", LAUGHS, ["trainer=mine"], "mine.yaml: its anchors (&name, *name) stand for more than"),
        ("trainer/mine.yaml", "defaults: [nowhere]\n", ["trainer=mine"], "trainer/nowhere"),
        ("trainer/mine.yaml", "defaults: [mine]\n", ["trainer=mine"], "A config file includes itself"),
        ("trainer/mine.yaml", "# @package train\nbudget: &a {epochs: *a}\n", ["trainer=mine"], "includes itself"),
        ("trainer/mine.yaml", "# @package _global_\ntask: ${task}\n", ["trainer=mine"], "ecursive interpolation"),
        ("trainer/mine.yaml", "x: " + "{a: " * 3000 + "}" * 3000, ["trainer=mine"], "nested too deeply"),
        ("trainer/mine.yaml", "5\n", ["trainer=mine"], "trainer/mine.yaml: cannot be read: Invalid loaded"),
        (
            "trainer/mine.yaml",
            "# @package _global_\nnull: 1\n",
            ["trainer=mine"],
            "mine.yaml: cannot be read: Incompatible",
        ),
        (
            "trainer/mine.yaml",
            "# @package _global_\ntrain.budget.epochs: 1\n",
            ["trainer=mine"],
            "mine.yaml: train.budget.epochs: the keys of a file have no dots. Write train: {budget: {epochs: VALUE}}.",
        ),
        ("experiment/mine.yaml", "seed: 5\n", ["experiment=mine"], "its first line has to be: # @package _global_"),
        ("trainer/mine.yaml/inner", "", ["trainer=mine"], "trainer=mine: no such option."),
    ],
)
def test_mistakes_in_a_users_file(folder: Path, name: str, text: str, overrides: list[str], said: str) -> None:
    write(folder, name, text)
    assert said in refused(folder, *overrides)


def test_a_users_file_in_another_encoding(folder: Path) -> None:
    write(folder, "trainer/mine.yaml", "")
    (folder / "trainer/mine.yaml").write_bytes("# für mich\n".encode("latin-1"))
    assert refused(folder, "trainer=mine").endswith("trainer/mine.yaml: not UTF-8 (byte 4). Save the file as UTF-8.")


def test_a_users_experiment_sets_every_key_of_the_root(folder: Path) -> None:
    """The root config has defaults for them, which must not come last."""
    values = {"seed": 5, "run": "mine", "runs_dir": "theirs", "force": True, "dry_run": True, "allow_custom_code": True}
    assert set(values) == {field.name for field in fields(Config)} - {*group_options(conf_dir()), *NOT_PLAIN}
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()) + "export: {merged: false}\n"
    write(folder, "experiment/mine.yaml", f"# @package _global_\n{text}")
    config = configs.load(["task=probe", "experiment=mine"], folder)

    assert {key: getattr(config, key) for key in values} == values
    assert not config.export.merged
    assert configs.load(["task=probe", "experiment=mine", "seed=6"], folder).seed == 6


@pytest.mark.parametrize("task", group_options(conf_dir())["task"])
def test_debug_fits_every_task(task: str) -> None:
    config = configs.load([f"task={task}", *MANDATORY.get(task, []), "debug=tiny"])

    assert config.train.max_steps == 4
    if hasattr(config.task, "feedback"):
        assert config.task.feedback.samples == 2


def test_debug_does_not_hide_a_mistake(folder: Path) -> None:
    assert "task.feedback.samples: no such key" in refused(folder, "debug=tiny", "task.feedback.samples=3")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=range(0)", "seed=range(0): has no values"),
        ("seed=range(0,1e9)", "more than 10000 runs"),
        ("seed=shuffle(range(0,1e9))", "more than 10000 runs"),
        ("goal=range(0,1e9)", "more than 10000 runs"),
        ("seed=range(0,1,0)", "must not be zero"),
        ("seed=range(0,1.5,0)", "Invalid range values"),
        ("goal=glob(*)", "glob(...) is not supported"),
        ("hydra.sweeper=5", "hydra.sweeper=5: expected a group of keys"),
        ("hydra.sweeper.params={seed: '0,1'}", "hydra.sweeper.params={seed: '0,1'}: does not fit"),
        ("+hydra.sweeper.params.seed='0,1'", "+hydra.sweeper.params.seed='0,1': does not fit the node"),
    ],
)
def test_sweeps_without_an_end_or_a_beginning(folder: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        configs.Composer(folder).members(["task=probe", override])


def test_combinations_are_counted_before_they_are_listed(folder: Path) -> None:
    sweeps = [f"{key}=range(1,1000)" for key in ("seed", "generation.seed", "evaluation.seed")]
    with pytest.raises(ConfigError, match="more than 10000 runs"):
        configs.Composer(folder).members(["task=probe", *sweeps])


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
    configs.load([f"{group}={option}", *MANDATORY.get(option, [])])


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
