"""The system call filter of a box, assembled by hand into classic BPF.

Invariants:
1. A call of a foreign architecture (i386, x32, anything unknown) kills the process.
2. A call newer than the newest one listed here is answered ENOSYS: what was not judged is off.
3. Arguments the kernel truncates to 32 bits are compared as 32 bits (CVE-2019-10063).
4. The `Stage.OUTER` program denies all that `Stage.BOX` denies except what bubblewrap itself
   needs to build the box. It is laid over bubblewrap, because the process bubblewrap leaves
   behind as init of the box has the payload's uid: without it a payload could write to
   ``/proc/1/mem`` and go on there, outside its own filter.

It computes bytes; loading them is the launcher's and bubblewrap's work.
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

KILL = 0x80000000
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

X86_64 = "x86_64"
AARCH64 = "aarch64"
AUDIT_ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
X32_BIT = 0x40000000
NEWEST = 469

_LD, _JEQ, _JGE, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16

CLONE_NEW = 0x7E020000
CLONE_NEWTIME = 0x80
SETID = 0o6000
DEVICE_KINDS = (0o020000, 0o060000)
O_CREAT, O_TMPFILE = 0o100, 0o20000000
TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD = 0x5412, 0x541C, 0x541D, 0x5423
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)


class Stage(StrEnum):
    """Which process a program is for."""

    OUTER = "outer"
    BOX = "box"


@dataclass(frozen=True, slots=True)
class _Op:
    """One instruction: code, jumps if true and false, operand."""

    code: int
    jt: int
    jf: int
    k: int


# name: (x86_64, aarch64); None where the architecture never had the call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "open": (2, None),
    "ioctl": (16, 29),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "clone": (56, 220),
    "creat": (85, None),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "mknod": (133, None),
    "uselib": (134, None),
    "personality": (135, 92),
    "sysfs": (139, None),
    "vhangup": (153, 58),
    "modify_ldt": (154, None),
    "pivot_root": (155, 41),
    "_sysctl": (156, None),
    "chroot": (161, 51),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "mount": (165, 40),
    "umount2": (166, 39),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "create_module": (174, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "nfsservctl": (180, 42),
    "lookup_dcookie": (212, 18),
    "clock_settime": (227, 112),
    "vserver": (236, None),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "openat": (257, 56),
    "mknodat": (259, 33),
    "fchmodat": (268, 53),
    "unshare": (272, 97),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443),
    "fchmodat2": (452, 452),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "setxattrat": (463, 463),
    "open_tree_attr": (467, 467),
    "file_setattr": (469, 469),
}

DENIED: tuple[str, ...] = (
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open",
    "userfaultfd", "add_key", "request_key", "keyctl",
    "mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "statmount", "listmount", "setns",
    "name_to_handle_at", "open_by_handle_at", "fanotify_init",
    "kexec_load", "kexec_file_load", "create_module", "init_module", "finit_module",
    "delete_module", "get_kernel_syms", "query_module", "swapon", "swapoff", "acct", "quotactl",
    "quotactl_fd", "reboot", "syslog", "settimeofday", "clock_settime", "sethostname",
    "setdomainname", "iopl", "ioperm", "modify_ldt", "vhangup", "uselib", "sysfs", "_sysctl",
    "nfsservctl", "lookup_dcookie", "vserver", "migrate_pages", "move_pages",
)  # fmt: skip

# The filter cannot look through a pointer, so these are made to look absent: every libc falls
# back to the older call, whose arguments are in registers.
ABSENT: tuple[str, ...] = ("clone3", "openat2", "setxattrat", "file_setattr")

# What bubblewrap 0.8 to 0.11 does itself while it builds the box.
_BWRAP_NEEDS = frozenset(
    {"mount", "umount2", "pivot_root", "chroot", "unshare", "clone", "sethostname", "setns"}
)

# (call, index of the mode argument, index of the flags argument that makes the mode count)
_MODES: tuple[tuple[str, int, int | None], ...] = (
    ("chmod", 1, None),
    ("fchmod", 1, None),
    ("fchmodat", 2, None),
    ("fchmodat2", 2, None),
    ("creat", 1, None),
    ("open", 2, 1),
    ("openat", 3, 2),
    ("mknod", 1, None),
    ("mknodat", 2, None),
)


def _number(name: str, arch: str) -> int | None:
    return NUMBERS[name][0 if arch == X86_64 else 1]


def _ret(value: int) -> _Op:
    return _Op(_RET, 0, 0, value)


def _deny(code: int) -> _Op:
    return _ret(ERRNO | code)


def _load_arg(index: int) -> _Op:
    """Load the low 32 bits of an argument (both architectures are little-endian)."""
    return _Op(_LD, 0, 0, _ARGS + 8 * index)


def _unless_in(values: Iterable[int], code: int) -> list[_Op]:
    """Deny with ``code`` unless the accumulator is one of the values."""
    wanted = list(values)
    tests = [_Op(_JEQ, len(wanted) - i, 0, v) for i, v in enumerate(wanted)]
    return [*tests, _deny(code)]


def _if_in(values: Iterable[int], code: int) -> list[_Op]:
    """Deny with ``code`` if the accumulator is one of the values."""
    wanted = list(values)
    last = len(wanted) - 1
    tests = [_Op(_JEQ, last - i, 1 if i == last else 0, v) for i, v in enumerate(wanted)]
    return [*tests, _deny(code)]


def _if_bits(mask: int, code: int) -> list[_Op]:
    return [_Op(_JSET, 0, 1, mask), _deny(code)]


def _socket() -> list[_Op]:
    """IPv4 and IPv6, stream and datagram, TCP and UDP: all else does not exist here."""
    gone = errno.EAFNOSUPPORT
    return [
        _load_arg(0),
        *_unless_in((2, 10), gone),
        _load_arg(1),
        _Op(_AND, 0, 0, 0xF),
        *_unless_in((1, 2), gone),
        _load_arg(2),
        *_unless_in((0, 6, 17), gone),
    ]


def _mode(call: str, mode: int, flags: int | None) -> list[_Op]:
    """Refuse setuid and setgid bits; for mknod device nodes too."""
    body = [_load_arg(mode), *_if_bits(SETID, errno.EPERM)]
    if call.startswith("mknod"):
        body += [_Op(_AND, 0, 0, 0o170000), *_if_in(DEVICE_KINDS, errno.EPERM)]
    if flags is not None:
        # A mode without O_CREAT is an unset register: it must not be judged.
        body = [_load_arg(flags), _Op(_JSET, 0, len(body), O_CREAT | O_TMPFILE), *body]
    return body


def _rules(stage: Stage) -> dict[str, list[_Op]]:
    """Give for each judged call the instructions that may end in a denial."""
    rules = {name: [_deny(errno.EPERM)] for name in DENIED}
    rules |= {name: [_deny(errno.ENOSYS)] for name in ABSENT}
    rules["socket"] = _socket()
    rules["socketpair"] = [_load_arg(0), *_unless_in((1,), errno.EAFNOSUPPORT)]
    rules["clone"] = [_load_arg(0), *_if_bits(CLONE_NEW, errno.EPERM)]
    rules["unshare"] = [_load_arg(0), *_if_bits(CLONE_NEW | CLONE_NEWTIME, errno.EPERM)]
    rules["ioctl"] = [
        _load_arg(1),
        *_if_in((TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD), errno.EPERM),
    ]
    rules["personality"] = [_load_arg(0), *_unless_in(PERSONALITIES, errno.EPERM)]
    rules |= {call: _mode(call, mode, flags) for call, mode, flags in _MODES}
    if stage is Stage.OUTER:
        rules = {name: body for name, body in rules.items() if name not in _BWRAP_NEEDS}
    return rules


@lru_cache(maxsize=8)
def program(arch: str, stage: Stage = Stage.BOX) -> bytes:
    """Give the filter for an architecture as an array of ``struct sock_filter``.

    Raises KeyError for an architecture without a table of numbers.
    """
    ops = [
        _Op(_LD, 0, 0, _ARCH),
        _Op(_JEQ, 1, 0, AUDIT_ARCH[arch]),
        _ret(KILL),
        _Op(_LD, 0, 0, _NR),
    ]
    if arch == X86_64:
        ops += [_Op(_JGE, 0, 1, X32_BIT), _ret(KILL)]
    ops += [_Op(_JGT, 0, 1, NEWEST), _deny(errno.ENOSYS)]
    for name, body in _rules(stage).items():
        number = _number(name, arch)
        if number is not None:
            ops += [_Op(_JEQ, 0, len(body) + 1, number), *body, _ret(ALLOW)]
    ops.append(_ret(ALLOW))
    return b"".join(struct.pack("<HBBI", op.code, op.jt, op.jf, op.k) for op in ops)
