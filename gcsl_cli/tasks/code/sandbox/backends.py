"""Command lines that start a Python interpreter in bubblewrap, in docker, or under resource limits only."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.process import FILTER_FD, INFO_FD, NAME, Backend
from gcsl_cli.tasks.code.sandbox.seccomp import filter_program

log = logging.getLogger("gcsl")

Kind = Literal["bubblewrap", "docker", "rlimit"]
KINDS: tuple[Kind, ...] = ("bubblewrap", "docker", "rlimit")
BWRAP = "bwrap"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
DEVICES = ("/dev/null", "/dev/urandom")
SYSTEM = ("/bin", "/lib", "/lib64", "/lib32", "/sbin")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox to run programs in."""

    kind: Kind = "bubblewrap"
    """`rlimit` sets resource limits only and does not isolate programs."""
    readable: tuple[str, ...] = ()
    """Extra folders that programs may read, such as one that contains numpy (bubblewrap only)."""
    image: str = "python:3.11-slim"
    """Docker image with `python` on its path."""
    docker: str = "docker"
    """Docker executable."""

    def backend(self, limits: Limits) -> Backend:
        """Build the command lines for these limits; `ConfigError` for an unknown kind."""
        if self.kind == "bubblewrap":
            return bubblewrap(limits, self.readable)
        if self.kind == "docker":
            return docker(limits, self.image, self.docker)
        if self.kind == "rlimit":
            return rlimit()
        raise ConfigError(f"task.sandbox.kind={self.kind!r} is unknown; allowed: {', '.join(KINDS)}.")


def bubblewrap(limits: Limits, readable: tuple[str, ...] = ()) -> Backend:
    """Run programs in separate namespaces, without capabilities, under a seccomp filter.

    A program sees the system libraries and the interpreter (read-only) and an empty temporary folder. There is no
    /proc. The network, home folder, environment and repository are not reachable.

    `limits.file_bytes` is the size of the temporary folder; the interpreter inside sets the other limits. `readable`
    are extra read-only folders; those named `site-packages` are added to the import path.
    """
    folder, executable = interpreter()
    seccomp_filter = filter_program()
    visible = (folder, *(Path(text).resolve() for text in readable))
    mounts = [str(path) for path in visible if not path.is_relative_to("/usr")]
    command = [BWRAP, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    # Without --as-pid-1, bubblewrap would exit before the program is reaped: its CPU time would be lost, and the
    # program could outlive it.
    command += ["--as-pid-1", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            command += ["--ro-bind", str(path), str(path)]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    # No /proc: its mount table shows paths of this machine, and its memory files are a way into other processes.
    command += ["--size", str(limits.file_bytes), "--tmpfs", "/tmp"]
    # Bubblewrap's own --dev adds terminals, which programs do not need, and mounts that slow down the start.
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    command += ["--dir", "/dev/shm"]
    for number, mount in enumerate(mounts):
        command += ["--ro-bind", f"{{folder{number}}}", mount]
    # The root file system is an unlimited tmpfs, so it must not be writable.
    command += ["--remount-ro", "/", "--chdir", "/tmp", "--info-fd", str(INFO_FD)]
    if seccomp_filter:
        command += ["--seccomp", str(FILTER_FD)]
    import_paths = [str(Path(text).resolve()) for text in readable if Path(text).name == "site-packages"]
    command += ["--", str(executable)]
    return Backend("bubblewrap", command, seccomp_filter, reports_pid=True, mounts=mounts, import_paths=import_paths)


def docker(limits: Limits, image: str, program: str = "docker") -> Backend:
    """Run each program in its own container; memory and processes are limited per container."""
    command = [program, "run", "--rm", "-i", "--init", "--name", NAME, "--network", "none", "--read-only"]
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65534:65534"]
    command += ["--pids-limit", str(limits.processes + 2), "--memory", str(limits.memory_bytes)]
    command += ["--memory-swap", str(limits.memory_bytes), "--cpus", "1", "--hostname", "sandbox"]
    command += ["--tmpfs", f"/tmp:rw,nosuid,nodev,size={limits.file_bytes}", "--workdir", "/tmp", image, "python"]
    return Backend("docker", command, stop=[program, "kill", NAME], same_interpreter=False)


def rlimit() -> Backend:
    """Run programs as plain processes with resource limits only; logs a warning on every use."""
    log.warning(
        "task.sandbox.kind=rlimit: programs run with your permissions. They can read and change your files and use the "
        "network; only time, memory, files and processes are limited. Use task.sandbox.kind=bubblewrap for untrusted "
        "code."
    )
    return Backend("rlimit", [str(interpreter()[1])])


def interpreter() -> tuple[Path, Path]:
    """Folder and executable of the running Python, outside of any virtual environment."""
    folder = Path(sys.base_prefix).resolve()
    versioned = folder / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return folder, versioned if versioned.exists() else Path(sys.executable).resolve()
