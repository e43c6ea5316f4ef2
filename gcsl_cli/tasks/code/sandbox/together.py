"""The process that runs a candidate together with its tests, for tests whose values cannot be sent through a pipe.

Frames in (see `codec`): (limits, output limit, code, entry point), then, once it is loaded, (token, setup, tests).
Frames out: (0, "loaded", "", ""), then (token, test, kind, message, exception) for every test.

The token is random and is sent only after the program was executed. A program that exits early, prints what a checker
would print, registers an exit handler or patches what the tests use therefore never has the token in time. Tests get
built-ins saved before the program ran, and a result with its own `__eq__` is refused. One weakness remains, because the
program shares memory with its tests: code written against this very file can find the token in the stack frames below
it, or patch a module that the tests import. Verdicts from here are marked, so that they can be counted or left out.
"""

import builtins
import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from gcsl_cli.tasks.code.sandbox.candidate import apply_limits, described, loaded, take_channel
from gcsl_cli.tasks.code.sandbox.codec import decode, encode, read_frame, write_frame
from gcsl_cli.tasks.code.sandbox.suite import Suite

OVERRIDES = ("__eq__", "__ne__", "__getattribute__", "__bool__")


class DisguisedError(Exception):
    """A result decides for itself what it equals."""


def check_honest(value: object, depth: int = 0) -> None:
    """Raise `DisguisedError` for a value whose class overrides comparison, also within plain collections."""
    for base in type(value).__mro__:
        if any(isinstance(vars(base).get(name), FunctionType) for name in OVERRIDES) and not _standard(base):
            raise DisguisedError(f"a result of type {type(value).__name__} overrides how it is compared")
    if depth < 50 and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            check_honest(item, depth + 1)
    elif depth < 50 and isinstance(value, dict):
        for key, item in dict.items(value):
            check_honest(key, depth + 1)
            check_honest(item, depth + 1)


def _standard(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return kind.__module__ in sys.stdlib_module_names and getattr(module, kind.__name__, None) is kind


def guarded(function: Callable[..., Any], check: Callable[[object], None]) -> Callable[..., Any]:
    """Wrap the candidate's function so that every result is checked."""

    def candidate(*args: object, **kwargs: object) -> Any:
        value = function(*args, **kwargs)
        check(value)
        return value

    candidate.__name__ = str(getattr(function, "__name__", "candidate"))
    return candidate


class PipeEnd:
    """What an event loop needs of a socket that it wakes itself with."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self.descriptor

    def setblocking(self, flag: bool) -> None:
        """As of a socket."""
        os.set_blocking(self.descriptor, flag)

    def recv(self, size: int) -> bytes:
        """As of a socket."""
        return os.read(self.descriptor, size)

    def send(self, data: bytes) -> int:
        """As of a socket."""
        return os.write(self.descriptor, data)

    def close(self) -> None:
        """As of a socket."""
        os.close(self.descriptor)


def let_event_loops_start() -> None:
    """Give event loops pipes for the socket pairs that the sandbox refuses, so that coroutines can be run."""
    import socket

    socket.socketpair = lambda *_: tuple(map(PipeEnd, os.pipe()))


def main() -> None:
    """Serve one program with its tests."""
    requests, answers = take_channel()
    first = read_frame(requests)
    if first is None:
        os._exit(0)
    limits, _, code, entry = decode(first)
    checks = (described, check_honest, AssertionError, DisguisedError, isinstance, enumerate)
    tools = (read_frame, write_frame, encode, decode, *checks)
    pristine = dict(vars(builtins))
    apply_limits(limits)
    let_event_loops_start()
    names, report = loaded(code, entry)
    write_frame(answers, encode(report))
    finish(requests, answers, names, entry, pristine, tools)
    os._exit(0)


def finish(
    requests: int, answers: int, names: dict[str, Any], entry: str, pristine: dict[str, Any], tools: tuple[Any, ...]
) -> None:
    """Run the tests and report them, using only tools saved before the program ran."""
    read, write, pack, unpack, describe, look, assertion, disguised, is_a, numbered = tools
    frame = read(requests)
    if frame is None:
        return
    token, setup, tests = unpack(frame)
    suite = Suite(setup, tests, entry)
    # The setup must not see the program's names, just as when tests and program run apart.
    namespace: dict[str, Any] = {"__builtins__": pristine, "__name__": "tests"}
    try:
        exec(suite.setup, namespace)
        namespace = {**names, **namespace}
        namespace[entry] = namespace["candidate"] = guarded(names[entry], look)
        outcomes = suite.run(namespace)
    except BaseException as stopped:  # noqa: BLE001
        outcomes = [stopped] * suite.count
    for number, error in numbered(outcomes):
        kind, message, name = ("", "", "") if error is None else describe(error)
        if is_a(error, assertion):
            kind, name = "wrong answer", ""
        elif is_a(error, disguised):
            kind, name = "forbidden", ""
        write(answers, pack((token, number, kind, message, name)))
