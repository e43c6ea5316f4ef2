"""The process that runs a candidate and its tests together, for tests whose values do not pass through a pipe.

Frames in, in the form of `codec`: (limits, code, entry point), and once the program is loaded (token, setup, tests).
Frames out: (0, "loaded", "", ""), then (token, test, kind, message) for every test in its order.

The token is random and is sent after the program was run, so a program that exits early, prints what a checker prints,
leaves something for the exit or patches what the tests use never has it in time. Tests get builtins of their own from
before the program, and a result that brings its own `__eq__` is refused. What remains: the program shares memory with
its tests. Code that was written against this very file can find the token in the frames below it, or patch a module
that the tests import. Verdicts of this kind are marked, so that they can be counted or left out.
"""

import builtins
import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import apply_limits, described, loaded, take_channel
from gcsl_cli.tasks.code.sandbox.codec import decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.splitting import Suite

OVERRIDES = ("__eq__", "__ne__", "__getattribute__", "__bool__")


class DisguisedError(Exception):
    """A result that decides itself what it equals."""


def honest(value: object, depth: int = 0) -> None:
    """Refuse a value whose class says what it equals, on the way down through plain collections.

    Raises:
        DisguisedError: there is one.
    """
    for base in type(value).__mro__:
        if any(isinstance(vars(base).get(name), FunctionType) for name in OVERRIDES) and not _standard(base):
            raise DisguisedError(f"a result of type {type(value).__name__} decides itself what it equals")
    if depth < 50 and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            honest(item, depth + 1)
    elif depth < 50 and isinstance(value, dict):
        for key, item in dict.items(value):
            honest(key, depth + 1)
            honest(item, depth + 1)


def _standard(kind: type) -> bool:
    home = sys.modules.get(kind.__module__)
    return kind.__module__ in sys.stdlib_module_names and getattr(home, kind.__name__, None) is kind


def guarded(function: Callable[..., Any], check: Callable[[object], None]) -> Callable[..., Any]:
    """The candidate's function, with each result looked at."""

    def candidate(*args: object, **kwargs: object) -> Any:
        value = function(*args, **kwargs)
        check(value)
        return value

    candidate.__name__ = str(getattr(function, "__name__", "candidate"))
    return candidate


def main() -> None:
    """Serve one program with its tests."""
    requests, answers = take_channel()
    first = read_frame(requests)
    if first is None:
        os._exit(0)
    limits, _, code, entry = decode(first)
    tools = (read_frame, write_frame, encode, decode, described, honest, AssertionError, str, isinstance, enumerate)
    pristine = dict(vars(builtins))
    apply_limits(limits)
    names, said = loaded(code, entry)
    write_frame(answers, encode(said))
    finish(requests, answers, names, entry, pristine, tools)
    os._exit(0)


def finish(
    requests: int, answers: int, names: dict[str, Any], entry: str, pristine: dict[str, Any], tools: tuple[Any, ...]
) -> None:
    """Run the tests and report them; every tool is the one from before the program."""
    read, write, pack, unpack, describe, look, assertion, text, is_a, numbered = tools
    frame = read(requests)
    if frame is None:
        return
    token, setup, tests = unpack(frame)
    suite = Suite(setup, tests, entry)
    # The set-up does not see the program's names, as it does not where tests and program are apart.
    namespace: dict[str, Any] = {"__builtins__": pristine, "__name__": "tests"}
    try:
        exec(suite.setup, namespace)
        namespace = {**names, **namespace}
        namespace[entry] = namespace["candidate"] = guarded(names[entry], look)
        outcomes = suite.run(namespace)
    except BaseException as stopped:  # noqa: BLE001
        outcomes = [stopped] * suite.count
    for number, error in numbered(outcomes):
        kind, message, _ = ("", "", "") if error is None else describe(error)
        if is_a(error, assertion):
            kind = "wrong answer"
        elif text(kind) == "DisguisedError":
            kind = "forbidden"
        elif error is not None and not text(kind):
            kind = "wrong answer"
        write(answers, pack((token, number, kind, message)))
