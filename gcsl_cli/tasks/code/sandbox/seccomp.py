"""A seccomp filter (classic BPF) that refuses system calls which programs under test do not need.

Namespaces alone have gaps: virtual sockets reach the host of a virtual machine from any network namespace, shared
memory is not charged to the process that allocates it, nor is what waits in sockets or is spliced into pipes, and a
nested user namespace exposes kernel code that otherwise only root can reach. Locks and change notifications on system
files would let programs talk to each other. Refused calls fail with EPERM, which counts as "forbidden".
"""

import errno
import platform
from struct import pack

# Name: numbers on x86_64 and aarch64 (Linux, arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h)
REFUSED = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "vmsplice": (278, 75),
    "io_setup": (206, 0),
    # aarch64 has inotify_init1 only.
    "inotify_init": (253, 26),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "flock": (73, 32),
    "cachestat": (451, 451),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "personality": (135, 92),
}
# Name: numbers as above, index of an argument, and its refused values
REFUSED_ARGUMENTS = {
    # PR_SET_PDEATHSIG: a program that switches it off outlives a grader that is killed.
    "prctl": ((157, 167), 0, (1,)),
    # F_SETLEASE and F_NOTIFY
    "fcntl": ((72, 25), 1, (1024, 1026)),
}
CLONE = (56, 220)
CLONE3 = 435
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
NEW_NAMESPACES = 0x7E020000
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# Numbers from here up belong to the x32 ABI, which the table above does not cover.
X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _ARGUMENTS, _ARGUMENT_SIZE = 0, 4, 16, 8
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


def filter_program(machine: str | None = None) -> bytes:
    """Assemble the filter for "x86_64" or "aarch64" (default: this machine); empty for other machines."""
    machine = machine or platform.machine()
    if machine not in MACHINES:
        return b""
    token, column = MACHINES[machine]
    refused = sorted({numbers[column] for numbers in REFUSED.values()})
    steps = [
        (_LOAD, _MACHINE, "", ""),
        (_EQUAL, token, "", "refuse"),
        (_LOAD, _NUMBER, "", ""),
        (_AT_LEAST, X32, "refuse", ""),
        *[(_EQUAL, number, "refuse", "") for number in refused],
        # The filter cannot read clone3's flags, which are in memory. ENOSYS makes the C library fall back to clone.
        (_EQUAL, CLONE3, "missing", ""),
        *[(_EQUAL, numbers[column], name, "") for name, (numbers, _, _) in REFUSED_ARGUMENTS.items()],
        (_EQUAL, CLONE[column], "", "allow"),
        (_LOAD, _ARGUMENTS, "", ""),
        (_ANY_OF, NEW_NAMESPACES, "refuse", "allow"),
    ]
    ends = {}
    for name, (_, index, values) in REFUSED_ARGUMENTS.items():
        ends[name] = len(steps)
        # The lower half of the argument; the kernel ignores the upper one as well.
        steps.append((_LOAD, _ARGUMENTS + index * _ARGUMENT_SIZE, "", ""))
        steps += [(_EQUAL, value, "refuse", "") for value in values[:-1]]
        steps.append((_EQUAL, values[-1], "refuse", "allow"))
    ends |= {"allow": len(steps), "refuse": len(steps) + 1, "missing": len(steps) + 2}
    code = [
        pack("HBBI", kind, *(ends[goal] - place - 1 if goal else 0 for goal in (yes, no)), value)
        for place, (kind, value, yes, no) in enumerate(steps)
    ]
    code += [pack("HBBI", _RETURN, 0, 0, value) for value in (_ALLOW, _FAIL | errno.EPERM, _FAIL | errno.ENOSYS)]
    return b"".join(code)
