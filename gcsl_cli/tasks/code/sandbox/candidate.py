"""The process that runs a candidate: it limits itself, runs the program, and answers calls until its input ends.

Frames in, in the form of `codec`: (limits, code, entry point), then (number, function, args, kwargs). Frames out:
(0, "loaded", "", "") and (number, "value", 4, ""), or (number, kind, message, exception) where something went wrong.
What is written here can be written by the candidate as well: it is an answer to a call, never a verdict.
"""

import errno
import gc
import posix
import sys

from gcsl_cli.tasks.code.sandbox.codec import CodecError, OutsideError, decode, encode, read_frame, write_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The first line of a message, for people.
MESSAGE_CHARACTERS = 200
# Objects between two searches for garbage: with the interpreter's 700, modules take a tenth longer to load.
GARBAGE = 10_000
KINDS_BY_ERRNO = {
    errno.EPERM: "forbidden",
    errno.EACCES: "forbidden",
    errno.EROFS: "forbidden",
    errno.EFBIG: "disk",
    errno.ENOSPC: "disk",
    errno.EMFILE: "open files",
    errno.EAGAIN: "processes",
    errno.ENOMEM: "memory",
}


def apply_limits(limits: tuple[float, int, int, int, int]) -> None:
    """Limit this process and all that it starts; there is no way back up.

    Args:
        limits: seconds of processor time, bytes of memory, bytes of a file, open files, processes.
    """
    import resource

    cpu, memory, file_bytes, files, processes = limits
    seconds = max(1, -int(-cpu // 1))
    for kind, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))


def take_channel() -> tuple[int, int]:
    """Descriptors to read requests from and to write answers to; the standard streams lead nowhere from here on."""
    sys.path += sys.argv[1:]
    sys.argv = [""]
    requests, answers = posix.dup(0), posix.dup(1)
    nothing = posix.open("/dev/null", posix.O_RDWR)
    for stream in (0, 1, 2):
        posix.dup2(nothing, stream)
    posix.close(nothing)
    return requests, answers


def kind_of(error: BaseException) -> str:
    """What an exception counts as: a limit, "syntax", "import", "exit", or the name of its type."""
    if isinstance(error, SyntaxError):
        return "syntax"
    if isinstance(error, ImportError):
        return "import"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, SystemExit):
        return "exit"
    if isinstance(error, OSError) and error.errno in KINDS_BY_ERRNO:
        return KINDS_BY_ERRNO[error.errno]
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "processes"
    return type.__getattribute__(type(error), "__name__")[:80]


def described(error: BaseException) -> tuple[str, str, str]:
    """Kind, message and type name of an exception whose own methods may be hostile."""
    try:
        kind, name = str(kind_of(error)), str(type.__getattribute__(type(error), "__name__"))[:80]
    except BaseException:  # noqa: BLE001
        kind = name = "Exception"
    try:
        message = str(error).splitlines()[0][:MESSAGE_CHARACTERS]
    except BaseException:  # noqa: BLE001
        message = ""
    return kind, message, name


def load(code: str, name: str) -> "dict[str, Any]":
    """Run the program as a module of its own; its names."""
    gc.set_threshold(GARBAGE)
    module = type(sys)(name)
    sys.modules[name] = module
    try:
        # Not `compile`: its first call takes longer than most programs, to make the types of syntax trees. The program
        # inherits what this module imports from __future__, which is nothing.
        exec(code, module.__dict__)
    except (ValueError, RecursionError) as error:
        if error.__traceback__ and error.__traceback__.tb_next is None:
            # No line of the program was run: a NUL, half a character, brackets in brackets.
            raise SyntaxError(str(error)) from error
        raise
    return module.__dict__


def loaded(code: str, entry: str) -> "tuple[dict[str, Any], tuple[int, str, str, str]]":
    """The program's names, and what is said of loading it; no names where it cannot be loaded."""
    try:
        names = load(code, "program")
        known = callable(names.get(entry))
    except BaseException as error:  # noqa: BLE001
        return {}, (0, *described(error))
    return names, (0, "loaded", "", "") if known else (0, "entry point", f"no function {entry}", "")


def main() -> None:
    """Serve one program."""
    requests, answers = take_channel()
    first = read_frame(requests)
    if first is None:
        posix._exit(0)
    limits, output, code, entry = decode(first)
    apply_limits(limits)
    names, said = loaded(code, entry)
    write_frame(answers, encode(said))
    while (request := read_frame(requests)) is not None:
        write_frame(answers, answered(request, names, output))
    posix._exit(0)


def answered(request: bytes, names: "dict[str, Any]", output: int) -> bytes:
    """The frame that answers one call."""
    number, name, args, kwargs = decode(request)
    try:
        value = names[name](*args, **kwargs)
        return encode((number, "value", value, ""), limit=output, iterators=True)
    except OutsideError as error:
        return encode((number, "outside", f"a value of type {error}", ""))
    except CodecError as error:
        return encode((number, "output", str(error), ""))
    except BaseException as error:  # noqa: BLE001
        return encode((number, *described(error)))
