"""Drop root in a worker before it starts any sandbox.

The kernel exempts user 0 from the process limit, in every user namespace that maps to it (fork.c, `copy_process`:
`p->real_cred->user != INIT_USER`); as root, 60 forks succeeded under a limit of 20. A unique user also owns no files,
which is a second line of defense. Such a user cannot reach an interpreter below /root, so the folders that the sandbox
mounts are first bind-mounted to a reachable place, in a private mount namespace.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

FIRST_USER = 0x60000000
PLACE = "/tmp"
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


def drop_root(folders: Sequence[str]) -> list[str]:
    """Switch from root to a unique user and return where the folders can be reached afterwards; no-op if not root.

    The user id is derived from the pid and is far above the range that systems assign. Concurrent workers are therefore
    different users, and the processes of one do not count towards the limit of another.

    Raises:
        OSError: Namespaces or other users are not available.
    """
    if os.geteuid() != 0:
        return list(folders)
    # Imported here because it can no longer be found once the user has changed.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    _check(ctypes.get_errno, libc.unshare(_CLONE_NEWNS), "a mount namespace")
    _check(ctypes.get_errno, libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
    # The tmpfs may hide folders below PLACE, so they are opened first and mounted through their descriptors.
    handles = [os.open(folder, os.O_PATH) for folder in folders]
    _check(ctypes.get_errno, libc.mount(b"tmpfs", PLACE.encode(), b"tmpfs", 0, b"size=1m,mode=755"), "a tmpfs")
    places = []
    for number, handle in enumerate(handles):
        place = Path(PLACE) / str(number)
        place.mkdir()
        source = f"/proc/self/fd/{handle}".encode()
        result = libc.mount(source, str(place).encode(), None, _MS_BIND | _MS_REC, None)
        _check(ctypes.get_errno, result, f"mounting {folders[number]}")
        os.close(handle)
        places.append(str(place))
    os.chdir("/")
    user = FIRST_USER + os.getpid()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    return places


def _check(get_errno: Callable[[], int], result: int, action: str) -> None:
    if result != 0:
        code = get_errno()
        raise OSError(code, f"{action}: {os.strerror(code)}")
