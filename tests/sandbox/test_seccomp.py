"""The filter program, judged by a small interpreter of classic BPF."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.sandbox.seccomp import (
    ABSENT,
    ALLOW,
    AUDIT_ARCH,
    DENIED,
    ERRNO,
    KILL,
    NEWEST,
    NUMBERS,
    Stage,
    program,
)

ARCHES = ("x86_64", "aarch64")


def run(code: bytes, arch: int, number: int, *args: int) -> int:
    """Interpret a program over one call and give what it returns."""
    padded = [*args, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *padded)
    ops = list(struct.iter_unpack("<HBBI", code))
    at = value = 0
    for _ in range(10_000):
        op, yes, no, k = ops[at]
        at += 1
        match op:
            case 0x20:
                value = struct.unpack_from("<I", data, k)[0]
            case 0x54:
                value &= k
            case 0x06:
                return k
            case _:
                test = {0x15: value == k, 0x35: value >= k, 0x25: value > k, 0x45: value & k}[op]
                at += yes if test else no
    raise AssertionError("the program does not end")


def ask(arch: str, name: str, *args: int, stage: Stage = Stage.BOX) -> int:
    """Give the verdict for a call by name."""
    number = NUMBERS[name][ARCHES.index(arch)]
    assert number is not None
    return run(program(arch, stage), AUDIT_ARCH[arch], number, *args)


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", DENIED)
def test_every_denied_call_is_denied(arch: str, name: str) -> None:
    """Each name of the list has a number and the answer EPERM, where the call exists."""
    if NUMBERS[name][ARCHES.index(arch)] is not None:
        assert ask(arch, name) == ERRNO | errno.EPERM


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", ABSENT)
def test_a_call_with_hidden_arguments_does_not_exist(arch: str, name: str) -> None:
    """What the filter cannot look into is answered ENOSYS."""
    assert ask(arch, name) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("arch", ARCHES)
def test_a_foreign_architecture_is_killed(arch: str) -> None:
    """i386 on x86_64, and everything else that is not ours."""
    for foreign in (0x40000003, 0x40000028, 0, *(AUDIT_ARCH[a] for a in ARCHES if a != arch)):
        assert run(program(arch), foreign, 1) == KILL


def test_x32_is_killed() -> None:
    """The x32 numbers would reach the same calls past the filter."""
    for number in (0x40000000, 0x40000000 | 41, 0xFFFFFFFF):
        assert run(program("x86_64"), AUDIT_ARCH["x86_64"], number) == KILL


@pytest.mark.parametrize("arch", ARCHES)
def test_a_newer_call_is_absent(arch: str) -> None:
    """The first number behind the table is answered ENOSYS, the last of it is judged."""
    assert run(program(arch), AUDIT_ARCH[arch], NEWEST + 1) == ERRNO | errno.ENOSYS
    assert run(program(arch), AUDIT_ARCH[arch], 39 if arch == "x86_64" else 172) == ALLOW


GONE = ERRNO | errno.EAFNOSUPPORT
EPERM = ERRNO | errno.EPERM
CASES = [
    ("socket", (2, 1, 0), ALLOW),
    ("socket", (10, 2 | 0o2000000 | 0o4000, 17), ALLOW),
    ("socket", (2 | 1 << 32, 1, 6), ALLOW),
    ("socket", (1, 1, 0), GONE),
    ("socket", (16, 3, 0), GONE),
    ("socket", (40, 1, 0), GONE),
    ("socket", (2, 3, 1), GONE),
    ("socket", (2, 1, 262), GONE),
    ("socketpair", (1, 1, 0), ALLOW),
    ("socketpair", (2, 1, 0), GONE),
    ("clone", (0x01200011,), ALLOW),
    ("clone", (0x003D0F00,), ALLOW),
    ("clone", (0x10000011,), EPERM),
    ("clone", (0x00020011,), EPERM),
    ("clone", (0x02000011,), EPERM),
    ("unshare", (0x400,), ALLOW),
    ("unshare", (0x80,), EPERM),
    ("unshare", (0x40000000,), EPERM),
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), EPERM),
    ("ioctl", (0, 0x5412 | 1 << 32), EPERM),
    ("ioctl", (0, 0x541C | 0xFFFFFFFF00000000), EPERM),
    ("personality", (0xFFFFFFFF,), ALLOW),
    ("personality", (0x0400000,), EPERM),
    ("fchmod", (3, 0o755), ALLOW),
    ("fchmod", (3, 0o4755), EPERM),
    ("fchmodat", (3, 0, 0o2755), EPERM),
    ("fchmodat2", (3, 0, 0o6000, 0), EPERM),
    ("openat", (3, 0, 0, 0o7777), ALLOW),
    ("openat", (3, 0, 0o100, 0o644), ALLOW),
    ("openat", (3, 0, 0o100, 0o4755), EPERM),
    ("openat", (3, 0, 0o20200000, 0o2755), EPERM),
    ("mknodat", (3, 0, 0o010644, 0), ALLOW),
    ("mknodat", (3, 0, 0o020644, 0), EPERM),
    ("mknodat", (3, 0, 0o060644, 0), EPERM),
    ("mknodat", (3, 0, 0o104755, 0), EPERM),
]


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(("name", "args", "expected"), CASES)
def test_arguments_decide(arch: str, name: str, args: tuple[int, ...], expected: int) -> None:
    """A call with a bad argument is denied, with a good one allowed, on both architectures."""
    assert ask(arch, name, *args) == expected


LEGACY = [("chmod", (0, 0o4755)), ("creat", (0, 0o4755)), ("open", (0, 0o100, 0o4755)),
          ("mknod", (0, 0o020600))]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), LEGACY)
def test_the_old_calls_of_x86_are_judged_alike(name: str, args: tuple[int, ...]) -> None:
    """The calls aarch64 never had are no way round."""
    assert ask("x86_64", name, *args) == EPERM


@pytest.mark.parametrize("name", ["mount", "unshare", "pivot_root", "umount2"])
def test_the_outer_program_lets_bubblewrap_work(name: str) -> None:
    """What bubblewrap needs is open outside and closed inside."""
    assert ask("x86_64", name, 0x10000000, stage=Stage.OUTER) == ALLOW
    assert ask("x86_64", name, 0x10000000) == EPERM


@given(number=st.integers(0, 0xFFFFFFFF), args=st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_the_outer_program_is_never_stricter(number: int, args: list[int]) -> None:
    """What the box may do, the process that builds it may do too."""
    arch = AUDIT_ARCH["x86_64"]
    if run(program("x86_64"), arch, number, *args) == ALLOW:
        assert run(program("x86_64", Stage.OUTER), arch, number, *args) == ALLOW


def test_an_unknown_architecture_has_no_program() -> None:
    """No table, no box."""
    with pytest.raises(KeyError):
        program("riscv64")
