"""The conversation of `gcsl chat`: reads lines, obeys commands such as `/goal worst`, prints answers as they come."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from gcsl_cli.configs import ranges
from gcsl_cli.errors import GcslError, did_you_mean, listed

if TYPE_CHECKING:
    from gcsl_cli.stages.chat import Chat, ChatSettings

HELP = {
    "/goal": "GOAL: best, worst, a level, none, or NAME=LEVEL,...; alone, it lists them",
    "/guidance": "W: strength of the contrast with the worst goal; 0 for none",
    "/temperature": "T: sampling temperature",
    "/tokens": "N: longest answer in tokens",
    "/reset": "start a new conversation",
    "/help": "list the commands",
    "/quit": "leave; so does Ctrl-D",
}
NUMBERS: dict[str, tuple[str, type[float], Callable[[str, float], Iterator[str]]]] = {
    "/guidance": ("guidance", float, ranges.guidance),
    "/temperature": ("temperature", float, ranges.temperature),
    "/tokens": ("max_new_tokens", int, ranges.count),
}


@dataclass
class ChatSession:
    """A chat on a terminal or a pipe.

    On a pipe, stdout gets the answers only, one for each line that is neither empty nor a command.
    """

    chat: "Chat"
    settings: "ChatSettings"
    stream: TextIO
    interactive: bool

    def run(self) -> None:
        """Read and answer until the input ends. Ctrl-C ends an answer, and between answers the command."""
        if self.interactive:
            with contextlib.suppress(ImportError):  # not on every platform
                import readline  # noqa: F401  # lets input() edit lines and recall earlier ones
            self._say(self._goals())
            self._say("Type a text, or /help.")
        while (line := self._line()) is not None:
            text = line.strip()
            if text in ("/quit", "/exit"):
                return
            if text.startswith("/"):
                self._obey(text)
            elif text:
                self.answer(line.rstrip("\n"))

    def answer(self, text: str) -> None:
        """Print the answer to one text."""
        try:
            self.chat.ask(text, self.settings, self._write)
        except KeyboardInterrupt:
            if not self.interactive:
                raise
        except GcslError as error:
            if not self.interactive:
                raise
            self._say(f"Error: {error}")
        self._write("\n")

    def _obey(self, text: str) -> None:
        name, _, value = text.partition(" ")
        value = value.strip()
        if name == "/help":
            self._say("\n".join(f"{key:<13} {what}" for key, what in HELP.items()))
        elif name == "/reset":
            self.chat.forget()
        elif name == "/goal" and not value:
            self._say(self._goals())
        elif name == "/goal":
            self._set("goal", value)
        elif name in NUMBERS:
            self._set_number(name, value)
        else:
            self._say(f"{name}: no such command.{did_you_mean(name, HELP)} Commands: {listed(HELP)}.")

    def _set(self, name: str, value: str) -> None:
        try:
            self.chat.argument(value)
        except GcslError as error:
            self._say(f"Error: {error}")
            return
        setattr(self.settings, name, value)

    def _set_number(self, command: str, text: str) -> None:
        name, kind, check = NUMBERS[command]
        try:
            value = kind(text)
        except ValueError:
            self._say(f"{command} {text}: not a number." if text else f"{command} {HELP[command]}")
            return
        problems = list(check(command, value))
        if problems:
            self._say(problems[0])
            return
        setattr(self.settings, name, value)

    def _goals(self) -> str:
        asked = "none" if not self.chat.spec.has_goal else self.settings.goal or self.chat.spec.target
        lines = [f"  {name:<8} {wording}".rstrip() for name, wording in self.chat.goals()]
        return "\n".join(["Goals:", *lines, f"Asking for: {asked}"])

    def _line(self) -> str | None:
        if not self.interactive:
            return sys.stdin.readline() or None
        try:
            return input("> ")
        except EOFError:
            self._write("\n")
            return None

    def _say(self, text: str) -> None:
        """Tell something that is not an answer."""
        if self.interactive:
            self._write(text + "\n")
        else:
            sys.stderr.write(text + "\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
