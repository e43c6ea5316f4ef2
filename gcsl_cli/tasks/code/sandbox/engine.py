"""Kinds of sandboxes, as command lines: what starts an interpreter that reads its code from its standard input."""

from dataclasses import dataclass, field
from typing import Literal

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.sandbox.limits import Limits

Kind = Literal["bubblewrap", "docker", "rlimit"]
KINDS: tuple[Kind, ...] = ("bubblewrap", "docker", "rlimit")
# Descriptors that a command finds open, besides the standard streams.
INFO, FILTER = 3, 4
# In a command line, a name of its own for each start.
NAME = "{name}"


@dataclass(frozen=True, slots=True)
class Engine:
    """How sandboxes of one kind are started and stopped."""

    kind: Kind
    command: list[str]
    """What to run, up to the interpreter's own arguments."""
    filter: bytes = b""
    """A filter of system calls, for the descriptor `FILTER`."""
    info: bool = False
    """Whether the command says on the descriptor `INFO` which process is the sandbox's first."""
    stop: list[str] = field(default_factory=list)
    """What stops a sandbox that does not end with the process that started it."""
    folders: list[str] = field(default_factory=list)
    """What the command mounts and an unprivileged user may not reach, in the order of `{folder0}`, `{folder1}`, ..."""
    paths: list[str] = field(default_factory=list)
    """Folders inside that programs may import from, besides the standard library."""
    same_interpreter: bool = True
    """Whether the interpreter inside is this one."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the user chose.

    Args:
        kind: "bubblewrap"; "docker", in a container of `image`; "rlimit", with limits and no walls at all.
        readable: more folders that programs may read, such as one with numpy; bubblewrap only.
        image: a docker image that has `python`.
        docker: the docker command.
    """

    kind: Kind = "bubblewrap"
    readable: tuple[str, ...] = ()
    image: str = "python:3.11-slim"
    docker: str = "docker"

    def engine(self, limits: Limits) -> Engine:
        """The commands of this kind under these limits.

        Raises:
            ConfigError: there is no such kind.
        """
        from gcsl_cli.tasks.code.sandbox import bubblewrap, docker, rlimit

        if self.kind == "bubblewrap":
            return bubblewrap.engine(limits, self.readable)
        if self.kind == "docker":
            return docker.engine(limits, self.image, self.docker)
        if self.kind == "rlimit":
            return rlimit.engine()
        raise ConfigError(f"task.sandbox.kind={self.kind!r} is unknown; allowed: {', '.join(KINDS)}.")
