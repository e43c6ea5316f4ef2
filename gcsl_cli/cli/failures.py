"""Turn any exception into an exit code and one readable message."""

import logging
import os
import traceback

from gcsl_cli.cli.console import debug
from gcsl_cli.errors import GcslError, first_line, text_of
from gcsl_cli.runs.files import UNUSABLE, disk_full, is_disk_full

LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "remote process exited")
"""What torch's backends, gloo and NCCL, say when another process of the run has ended."""
LONGEST_PATH = 300
"""Characters of a path that are shown."""
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")


def explain(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the message of an error.

    The code is 2 if the user can change something and try again, 1 if the work itself failed. Half characters in the
    message, which no file takes, are escaped.
    """
    if debug():
        logging.getLogger("gcsl").debug("".join(traceback.format_exception(error)))
    code, message = _explained(error)
    return code, message.encode("utf-8", "backslashreplace").decode("utf-8")


def _explained(error: BaseException) -> tuple[int, str]:
    for cause in _chain(error):
        if isinstance(cause, GcslError):
            return cause.exit_code, str(cause)
        if is_disk_full(cause):
            full = disk_full(getattr(cause, "filename", None) or "the run folder")
            return full.exit_code, str(full)
        if isinstance(cause, OSError) and cause.errno in UNUSABLE and cause.filename is not None:
            path = os.fsdecode(cause.filename)[:LONGEST_PATH]
            return 2, f"{path}: {cause.strerror}. Correct the path, or its permissions."
    name = type(error).__name__
    text = f"{name}: {first_line(error, None)}" if text_of(error).strip() else name
    if isinstance(error, MemoryError) or any(sign in text_of(error) for sign in OUT_OF_MEMORY):
        return 1, (
            f"Out of memory ({text}). Use smaller batches (train.micro_batch_size, generation.batch_size), "
            "train.gradient_checkpointing=true, adapter=lora or qlora, or a smaller model."
        )
    if any(sign in text_of(error) for sign in LOST_CONNECTION):
        return 1, (
            "Another process of this run has ended; if it has left a message, that says why. The newest checkpoint is "
            "kept; run the same command to resume."
        )
    if isinstance(error, SystemExit):
        return 1, f"A library exited the process early (exit code {error.code}). GCSL_DEBUG=1 shows the traceback."
    return 1, f"{text}. This looks like a bug; GCSL_DEBUG=1 shows the traceback."


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links
