"""A worker that root started goes on as a kernel user of its own, before it starts any sandbox.

Why: the kernel exempts user 0 from the limit of processes, in every user namespace that maps to it (fork.c,
`copy_process`: `p->real_cred->user != INIT_USER`); with it, 60 forks went through a limit of 20. A user that nobody
else is has no files either, which is a second wall. Such a user cannot reach an interpreter below /root, so what the
sandbox mounts is first mounted where it can be reached, in a mount namespace of the worker's own.
"""

import os
from collections.abc import Sequence
from pathlib import Path

FIRST_USER = 0x60000000
PLACE = "/tmp"
_NEW_MOUNTS = 0x00020000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000


def become_nobody_else(folders: Sequence[str]) -> list[str]:
    """Stop being root, if this process is; where the folders can be reached from now on.

    The user's number is that of this process, far above those that systems give away, so workers side by side are
    different users and none counts the processes of another.

    Raises:
        OSError: namespaces or other users are not to be had here.
    """
    if os.geteuid() != 0:
        return list(folders)
    # Loaded while it still can be.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    _checked(ctypes.get_errno, libc.unshare(_NEW_MOUNTS), "a mount namespace")
    _checked(ctypes.get_errno, libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "private mounts")
    # A folder below PLACE is reached through its descriptor once something else is mounted there.
    handles = [os.open(folder, os.O_PATH) for folder in folders]
    _checked(ctypes.get_errno, libc.mount(b"tmpfs", PLACE.encode(), b"tmpfs", 0, b"size=1m,mode=755"), "a tmpfs")
    places = []
    for number, handle in enumerate(handles):
        place = Path(PLACE) / str(number)
        place.mkdir()
        source = f"/proc/self/fd/{handle}".encode()
        done = libc.mount(source, str(place).encode(), None, _BIND | _RECURSIVE, None)
        _checked(ctypes.get_errno, done, f"mounting {folders[number]}")
        os.close(handle)
        places.append(str(place))
    os.chdir("/")
    user = FIRST_USER + os.getpid()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    return places


def _checked(number: "object", result: int, what: str) -> None:
    if result != 0:
        code = number() if callable(number) else 0
        raise OSError(code, f"{what}: {os.strerror(code)}")
