"""The command line of bubblewrap: namespaces of its own for everything, and next to nothing to see.

A program sees the system's libraries and the interpreter, read-only, an empty temporary folder, its own processes, and
no network, home, environment or repository. It has no capabilities and a filter of system calls.
"""

import sys
from pathlib import Path

from gcsl_cli.tasks.code.sandbox.engine import FILTER, INFO, Engine
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.seccomp import filter_program

PROGRAM = "bwrap"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
DEVICES = ("/dev/null", "/dev/urandom")
SYSTEM = ("/bin", "/lib", "/lib64", "/lib32", "/sbin")


def interpreter() -> tuple[Path, Path]:
    """The Python that this one is, outside of virtual environments: its folder and its executable."""
    folder = Path(sys.base_prefix).resolve()
    named = folder / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return folder, named if named.exists() else Path(sys.executable).resolve()


def engine(limits: Limits, readable: tuple[str, ...] = ()) -> Engine:
    """Bubblewrap under these limits.

    Args:
        limits: the temporary folder holds `file_bytes`; the process inside sets the other limits.
        readable: more folders to read from; those called `site-packages` can be imported from.
    """
    folder, executable = interpreter()
    filtered = filter_program()
    folders = [str(path) for path in (folder, *(Path(text).resolve() for text in readable)) if not _in_usr(path)]
    command = [PROGRAM, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    # With a first process of its own, bubblewrap would end without having waited for the program, so that its times
    # would be lost and it might still be there.
    command += ["--as-pid-1", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr", *_links()]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    command += ["--proc", "/proc", "--size", str(limits.file_bytes), "--tmpfs", "/tmp"]
    # Bubblewrap's own /dev has terminals, which no program needs, and more mounts, which take time.
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    command += ["--dir", "/dev/shm"]
    for number, path in enumerate(folders):
        command += ["--ro-bind", f"{{folder{number}}}", path]
    # The root is kept in memory as well, without a limit, so nothing may be written there.
    command += ["--remount-ro", "/", "--chdir", "/tmp", "--info-fd", str(INFO)]
    if filtered:
        command += ["--seccomp", str(FILTER)]
    paths = [str(Path(text).resolve()) for text in readable if Path(text).name == "site-packages"]
    start = [*command, "--", str(executable)]
    return Engine("bubblewrap", start, filtered, info=True, folders=folders, paths=paths)


def _in_usr(path: Path) -> bool:
    return path.is_relative_to("/usr")


def _links() -> list[str]:
    found = []
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    return found
