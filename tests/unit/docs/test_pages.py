"""The documentation is correct: its commands compose, its links resolve, its examples run.

A fenced block with a path after its language (```yaml mine/experiment/short.yaml) is an example file. All example files
are written to one folder, and commands are composed there.
"""

import math
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import typer

from gcsl_cli import train
from gcsl_cli.cli.commands import STAGES, app
from gcsl_cli.cli.options import Options, refuse_unknown
from gcsl_cli.configs import Composer, finish, without_hydra
from gcsl_cli.errors import ConfigError, DependencyError

ROOT = Path(__file__).parents[3]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(gcsl .*)")
MODULES = (
    "my_scorers",
    "gcsl_cli.tasks.brevity",
    "gcsl_cli.methods.ipo",
    "gcsl_cli.scorers.variety",
    "gcsl_cli.metrics.sentences",
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands() -> Iterator[tuple[str, str]]:
    """Yield (page, line) for every gcsl command in a bash block."""
    for page in PAGES:
        for language, _, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            lines = text.splitlines() if language == "bash" else []
            yield from ((named(page), match[1]) for line in lines if (match := COMMAND.match(line)))


def links() -> Iterator[tuple[Path, str]]:
    """Yield (page, target) for every link and image that is not a URL, outside code blocks."""
    for page in PAGES:
        for target in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
            if not re.match(r"[a-z]+:", target):
                yield page, target


def anchor(heading: str) -> str:
    """Anchor that Markdown renderers give a heading: lower case, no punctuation, spaces replaced by dashes."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with the example files of all pages; their modules can be imported by name."""
    folder = tmp_path_factory.mktemp("examples")
    for page in PAGES:
        for _, name, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if name:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in MODULES:
            patch.setitem(sys.modules, name, load(folder / f"{name.replace('.', '/')}.py", name))
        yield folder


def load(path: Path, name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules.setdefault(name, module)  # dataclasses look up their module
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


@cache
def composer(folder: Path | None) -> Composer:
    return Composer(folder)


def config_folder(examples: Path, config_dir: Path | None, overrides: list[str]) -> Path | None:
    from_example = {"task=brevity", "method=ipo", "scorer=variety"} & set(overrides)
    return examples / config_dir if config_dir else examples / "conf" if from_example else None


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_command_composes(page: str, line: str, examples: Path) -> None:
    name, *arguments = shlex.split(re.split(r" [>|] ", line)[0], comments=True)[1:]
    group = typer.main.get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, arguments)
    if name == "compare":
        overrides = [argument for argument in context.params["runs"] or [] if "=" in argument]
        assert composer(None).members(overrides)
        return
    if name == "inspect":
        overrides = ["task=feedback", "task.path=x", *(context.params["overrides"] or [])]
        finish(without_hydra(composer(None).compose(overrides)), overrides)
        return
    if name == "score":
        overrides = ["task=prompts", "task.path=file", *(context.params["overrides"] or [])]
        folder = config_folder(examples, context.params["config_dir"], overrides)
        finish(without_hydra(composer(folder).compose(overrides)), overrides)
        return
    if name not in STAGES:
        return
    overrides = refuse_unknown(context.args, context)
    options = {key: value for key, value in context.params.items() if key != "config_dir"}
    config_dir = context.params["config_dir"]
    Options(**options, config_dir=config_dir).check()
    folder = config_folder(examples, config_dir, overrides)
    try:
        members = composer(folder).members(overrides) if context.params["multirun"] else [overrides]
    except DependencyError as error:
        pytest.skip(str(error))
    assert members
    for member in members:
        finish(without_hydra(composer(folder).compose(member)), member)


@pytest.mark.parametrize(("page", "target"), sorted(set(links())), ids=str)
def test_link_resolves(page: Path, target: str) -> None:
    name, _, fragment = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    assert path.exists()
    if fragment:
        text = BLOCK.sub("", path.read_text(encoding="utf-8"))
        assert fragment in [anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]


def test_contributing_names_every_room() -> None:
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    tree = next(text for language, _, text in blocks if language == "text" and text.startswith("gcsl_cli/"))
    lines = [(len(line) - len(line.lstrip()), line.split()[0].rstrip("/")) for line in tree.splitlines()]
    rooms, inner = (
        {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
        for folder in (ROOT / "gcsl_cli", ROOT / "gcsl_cli/stages")
    )

    assert {name for depth, name in lines if depth == 2} == rooms | {"errors.py"}
    assert {name for depth, name in lines if depth == 4} == inner
    assert len(rooms) <= 14


def test_the_task_of_contributing_passes_its_own_tests(examples: Path, tmp_path: Path) -> None:
    module = load(examples / "tests/unit/tasks/test_brevity.py", "test_brevity")
    module.test_fewer_words_score_higher()
    module.test_feedback_leaves_the_evaluated_prompts_out(tmp_path)


def test_the_method_of_contributing_passes_its_own_tests_and_trains(
    examples: Path, tmp_path: Path, small_run: Callable[[Path], list[str]]
) -> None:
    module = load(examples / "tests/unit/methods/test_ipo.py", "test_ipo")
    module.test_runs_are_named_by_what_decides_the_result()
    module.test_beta_is_above_zero()
    lines = [*small_run(tmp_path), "method=ipo", "task.feedback.texts=null", "task.feedback.samples=3"]
    trained = train(finish(without_hydra(composer(examples / "conf").compose(lines)), lines))

    assert trained.run.name.startswith("ipo-local-s0-")
    assert trained.steps == 4
    assert math.isfinite(trained.training_loss or math.nan)


def test_the_scorer_of_contributing_passes_its_own_tests(examples: Path) -> None:
    module = load(examples / "tests/unit/scorers/test_variety.py", "test_variety")
    module.test_repeated_words_count_once()
    module.test_without_words_there_is_no_grade()
    with pytest.raises(ConfigError, match=r"scorer\.n=0"):
        finish(without_hydra(composer(examples / "conf").compose(["scorer=variety"])), []).scorer.__class__(n=0).check()


def test_the_metric_of_contributing_counts_ends(examples: Path) -> None:
    """Two of two, and one of three."""
    share = sys.modules["gcsl_cli.metrics.sentences"].ended_share([["Yes.", "Why? "], ["no", "and", "so!"]])

    assert (share.numerator / share.denominator).tolist() == [1.0, 1 / 3]


def test_example_code_is_formatted_as_ours(examples: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--check",
        "--config",
        str(ROOT / "pyproject.toml"),
        str(examples),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_snippet_asks_a_saved_model_for_the_best_goal(tiny_model: Path, tmp_path: Path) -> None:
    """Runs the code of the page unchanged, except for the folder."""
    from gcsl_cli.models.loading import export_model, load_model, load_tokenizer
    from gcsl_cli.models.prompting import Prompter
    from tests.unit.goals.toy import toy_spec

    tokenizer = load_tokenizer(tiny_model)
    prompter = Prompter(tokenizer, toy_spec(levels=(0.0, 0.9), texts=("Rude:", "Kind:")))
    export_model(load_model(tiny_model), tokenizer, tmp_path / "model", prompter.template)
    page = (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    code = next(text for language, _, text in BLOCK.findall(page) if language == "python")
    names: dict[str, object] = {}
    with redirect_stdout(StringIO()) as printed:
        exec(re.sub(r'folder = ".*"', f"folder = {str(tmp_path / 'model')!r}", code), names)

    assert names["text"] == "Kind:\nThe waiter came back and"
    ids = names["inputs"]["input_ids"][0].tolist()  # type: ignore[index]
    assert ids == prompter.prompt_ids("The waiter came back and", 0.9)
    assert printed.getvalue()
