"""The conversation of `gcsl chat` with a double of the model: commands, pipes, Ctrl-C."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gcsl_cli.cli.chat import ChatSession
from gcsl_cli.errors import ConfigError, DataError
from gcsl_cli.stages.chat import ChatSettings


class Echo:
    """Answers with the settings it is asked with."""

    spec = SimpleNamespace(has_goal=True, target="best")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.forgotten = 0

    def goals(self) -> list[tuple[str, str]]:
        return [("worst", "Bad:"), ("best", "Good:"), ("none", "")]

    def argument(self, goal: Any) -> Any:
        if goal not in (None, "best", "worst", "none"):
            raise ConfigError(f"target={goal}: not a goal; use best, worst.")
        return goal

    def forget(self) -> None:
        self.forgotten += 1

    def ask(self, text: str, settings: ChatSettings, write: Any) -> str:
        self.asked.append(text)
        if text == "too long":
            raise DataError("The text does not fit.")
        if text == "stop me":
            write("half ")
            raise KeyboardInterrupt
        write(f"{settings.goal} {settings.guidance:g} ")
        write(f"{settings.temperature:g} {settings.max_new_tokens}: {text}")
        return text


def talk(monkeypatch: pytest.MonkeyPatch, *lines: str, interactive: bool = True) -> tuple[str, Echo]:
    chat, stream = Echo(), io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(line + "\n" for line in lines)))
    monkeypatch.setattr("builtins.input", lambda _: _next(sys.stdin))
    ChatSession(chat, ChatSettings(), stream, interactive).run()  # type: ignore[arg-type]
    return stream.getvalue(), chat


def _next(stream: Any) -> str:
    line: str = stream.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def test_settings_apply_to_the_answers_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("a", "/goal worst", "/guidance 2", "/temperature 0.5", "/tokens 7", "b")
    shown, _ = talk(monkeypatch, *lines)

    assert "None 0 1 200: a\n" in shown
    assert "worst 2 0.5 7: b\n" in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/goal bset", "Error: target=bset: not a goal; use best, worst."),
        ("/guidance -1", "/guidance=-1.0: must be a number from 0 to 1000"),
        ("/guidance x", "/guidance x: not a number."),
        ("/tokens 0", "/tokens=0: must be a whole number of at least 1"),
        ("/temperature", "/temperature T: sampling temperature"),
        ("/gaol best", "/gaol: no such command. Did you mean /goal?"),
        ("too long", "Error: The text does not fit."),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(monkeypatch: pytest.MonkeyPatch, line: str, said: str) -> None:
    shown, chat = talk(monkeypatch, line, "a")

    assert said in shown
    assert chat.asked[-1] == "a"
    assert "None 0 1 200: a\n" in shown


def test_goals_and_commands_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, _ = talk(monkeypatch, "/help", "/goal worst", "/goal")

    assert shown.startswith("Goals:\n  worst    Bad:\n  best     Good:\n  none\nAsking for: best\n")
    assert "/reset        start a new conversation" in shown
    assert shown.rstrip().endswith("Asking for: worst")


def test_reset_and_quit(monkeypatch: pytest.MonkeyPatch) -> None:
    _, chat = talk(monkeypatch, "a", "/reset", "/quit", "b")

    assert (chat.asked, chat.forgotten) == (["a"], 1)


def test_ctrl_c_ends_an_answer_but_not_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, chat = talk(monkeypatch, "stop me", "a")

    assert chat.asked == ["stop me", "a"]
    assert "half \n" in shown


def test_a_pipe_gets_answers_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = talk(monkeypatch, "a", "", "/goal", "b", interactive=False)

    assert shown == "None 0 1 200: a\nNone 0 1 200: b\n"
    assert "Goals:" in capsys.readouterr().err


@pytest.mark.parametrize(("line", "error"), [("too long", DataError), ("stop me", KeyboardInterrupt)])
def test_a_pipe_stops_at_a_mistake_and_at_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, line: str, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        talk(monkeypatch, line, interactive=False)
