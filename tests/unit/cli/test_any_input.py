"""Whatever is typed and whatever a library raises: an exit code of the table, one short message, never a traceback."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcsl_cli.cli import jobs, launch
from gcsl_cli.cli.commands import STAGES, main
from gcsl_cli.cli.failures import explain
from gcsl_cli.cli.jobs import Outcome
from gcsl_cli.configs import Composer
from gcsl_cli.configs.overrides import _key_names

CODES = {0, 1, 2, 130, 143}
LIMITED = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
EXTREMES = ["-1", "0", "1e400", "-1e-400", "nan", "9" * 400, "null", "true", "''", "[]", "{}", "[[]]", "???", "${seed}"]
EXTREMES += [
    "${nope}",
    "${",
    "a,b",
    "range(0)",
    "glob(*)",
    "choice(a)",
    "interval(0,1)",
    "{a: 1}",
    "[1,a]",
    "/",
    "..",
    "@",
]
VALUES = st.one_of(st.sampled_from(EXTREMES), TEXTS, st.integers().map(str), st.floats().map(str))


@pytest.fixture(scope="module")
def keys(remembered_composition: None) -> list[str]:
    """Every key of the default config, every group, and some that do not exist."""
    composer = Composer()
    known = [*_key_names(composer.compose([])), *composer.groups]
    return [*known, "hydra.run.dir", "hydra/launcher", "hydra.launcher", "nope", "task.nope", "", "train.", ".seed"]


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every job succeed without running it."""

    def run(stage: str, members: Sequence[Sequence[str]], *_: Any) -> list[Outcome]:
        return [Outcome(number, list(lines), 0, {"stage": stage}) for number, lines in enumerate(members)]

    monkeypatch.setattr(launch, "run_jobs", run)
    monkeypatch.setattr(launch, "run_hydra", lambda arguments: None)
    monkeypatch.setattr(jobs, "run_hydra", lambda arguments: None)


@contextlib.contextmanager
def said() -> Iterator[io.StringIO]:
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        yield err


@LIMITED
@given(data=st.data())
def test_any_overrides(keys: list[str], data: st.DataObject) -> None:
    prefixes = st.sampled_from(["", "", "", "", "+", "++", "~"])
    line = st.builds(lambda prefix, key, value: f"{prefix}{key}={value}", prefixes, st.sampled_from(keys), VALUES)
    lines = data.draw(st.lists(st.one_of(line, line, TEXTS), min_size=1, max_size=3))
    options = data.draw(st.lists(st.sampled_from(["-m", "--json", "--cfg", "job", "-p", "--resolve"]), max_size=2))
    with said() as err, pytest.raises(SystemExit) as ended:
        main([data.draw(st.sampled_from(sorted(STAGES))), *options, *lines])

    assert ended.value.code in CODES - {1}, (options, lines, err.getvalue())
    assert "Traceback" not in err.getvalue()
    assert len(err.getvalue()) < 3000


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


ERRORS = [
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    MemoryError,
    SystemExit,
    AssertionError,
    UnprintableError,
]


@LIMITED
@given(st.lists(st.tuples(st.sampled_from(ERRORS), st.text(max_size=300)), min_size=1, max_size=4))
def test_any_failure_of_a_library(chain: list[tuple[type[BaseException], str]]) -> None:
    error: BaseException | None = None
    for kind, text in chain:
        outer = kind(text)
        outer.__cause__ = error
        error = outer
    assert error is not None
    code, message = explain(error)

    assert code in {1, 2}
    assert message.strip()
    assert "Traceback" not in message
