"""The process that runs a candidate program: limits itself, executes the program and answers calls to it.

Frames in (see `codec`): (limits, output limit, code, entry point), then (number, function, args, kwargs) per call.
Frames out: (0, "loaded", "", "") and (number, "value", result, ""), or (number, kind, message, exception) on failure.
The candidate can write frames as well, so a frame from here is only ever the answer to a call, never a verdict.
"""

import errno
import gc
import posix
import sys

from gcsl_cli.tasks.code.sandbox.codec import CodecError, OutsideError, decode, encode, read_frame, write_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MESSAGE_CHARACTERS, NAME_CHARACTERS = 200, 80
# Allocations between garbage collections. At the interpreter's default of 700, imports take 10 % longer.
GARBAGE = 10_000
KINDS_BY_ERRNO = {
    **dict.fromkeys((errno.EPERM, errno.EACCES, errno.EROFS), "forbidden"),
    **dict.fromkeys((errno.EFBIG, errno.ENOSPC), "disk"),
    errno.EMFILE: "open files",
    errno.ENOMEM: "memory",
}
# What a candidate may report about itself. Timeouts, crashes and verdicts on the tests are not for it to tell.
REPORTED = {
    *KINDS_BY_ERRNO.values(),
    *("exception", "syntax", "import", "exit", "processes", "entry point", "outside", "output"),
}


def apply_limits(limits: tuple[float, int, int, int, int]) -> None:
    """Irrevocably limit this process and its children.

    `limits` are CPU seconds, bytes of memory, bytes per file, open files, and processes.
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
        # Queued signals and timers are kernel memory.
        (resource.RLIMIT_SIGPENDING, 256),
    ):
        hard = resource.getrlimit(kind)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))


def take_channel() -> tuple[int, int]:
    """Move the request and answer pipes to new descriptors and redirect the standard streams to /dev/null."""
    sys.path += sys.argv[1:]
    sys.argv = [""]
    requests, answers = posix.dup(0), posix.dup(1)
    null = posix.open("/dev/null", posix.O_RDWR)
    for stream in (0, 1, 2):
        posix.dup2(null, stream)
    posix.close(null)
    return requests, answers


def kind_of(error: BaseException) -> str:
    """Classify an exception: a limit, "syntax", "import", "exit", or else "exception"."""
    kinds = ((SyntaxError, "syntax"), (ImportError, "import"), (MemoryError, "memory"), (SystemExit, "exit"))
    for base, kind in kinds:
        if isinstance(error, base):
            return kind
    if isinstance(error, OSError) and error.errno in KINDS_BY_ERRNO:
        return KINDS_BY_ERRNO[error.errno]
    if isinstance(error, OSError) and error.errno == errno.EAGAIN and _no_process_left():
        return "processes"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "processes"
    return "exception"


def _no_process_left() -> bool:
    """Whether the process limit is reached. EAGAIN alone does not tell: files that are not ready fail with it, too."""
    try:
        child = posix.fork()
    except OSError:
        return True
    if not child:
        posix._exit(0)
    posix.waitpid(child, 0)
    return False


def shown(text: str, length: int) -> str:
    """Cut a text that a program chose, and escape what is not printable, such as terminal sequences."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:length])


def described(error: BaseException) -> tuple[str, str, str]:
    """Kind, first line of the message, and type name of an exception whose methods may be hostile."""
    try:
        kind, name = str(kind_of(error)), str(type.__getattribute__(type(error), "__name__"))[:NAME_CHARACTERS]
    except BaseException:  # noqa: BLE001
        kind, name = "exception", "Exception"
    try:
        message = str(error).splitlines()[0][:MESSAGE_CHARACTERS]
    except BaseException:  # noqa: BLE001
        message = ""
    return kind, message, name


def load(code: str, name: str) -> "dict[str, Any]":
    """Execute the program as a module and return its namespace."""
    gc.set_threshold(GARBAGE)
    module = type(sys)(name)
    sys.modules[name] = module
    try:
        # Not `compile`, whose first call initializes the AST types, which takes longer than most programs run. exec
        # would inherit __future__ imports of this module, but there are none.
        exec(code, module.__dict__)
    except (ValueError, RecursionError) as error:
        if error.__traceback__ and error.__traceback__.tb_next is None:
            # No line of the program ran: it contains NUL bytes, lone surrogates or too many nested brackets.
            raise SyntaxError(str(error)) from error
        raise
    return module.__dict__


def loaded(code: str, entry: str) -> "tuple[dict[str, Any], tuple[int, str, str, str]]":
    """The program's namespace (empty if it fails to load) and the frame that reports the outcome."""
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
    names, report = loaded(code, entry)
    write_frame(answers, encode(report))
    while (request := read_frame(requests)) is not None:
        write_frame(answers, answered(request, names, output))
    posix._exit(0)


def answered(request: bytes, names: "dict[str, Any]", output: int) -> bytes:
    """Make one call and encode its outcome."""
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
