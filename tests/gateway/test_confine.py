"""What is given up stays given up."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, resource, sys
from ringfence.gateway.confine import confine
confine(199999)
try:
    os.setuid(0)
    print("root again")
except PermissionError:
    pass
print(os.getresuid(), os.getresgid(), os.getgroups(), resource.getrlimit(resource.RLIMIT_CORE))
try:
    open("/proc/self/mem").close() if os.getuid() else None
except PermissionError:
    pass
"""


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_confined_process_cannot_go_back() -> None:
    """Neither to root nor to its groups."""
    done = run(CODE)
    uid = 199_999 if os.getuid() == 0 else os.getuid()
    assert done.stdout.startswith(f"({uid}, {uid}, {uid})"), done.stderr
    assert "root again" not in done.stdout
    assert done.stdout.strip().endswith("(0, 0)")
    if os.getuid() == 0:
        assert " [] " in done.stdout


@pytest.mark.parametrize("name", ["setresuid", "setresgid"])
def test_what_cannot_be_given_up_stops_the_process(name: str) -> None:
    """A drop that did nothing is noticed."""
    code = f"""
import os
from ringfence.chain.errors import InternalError
from ringfence.gateway import confine
os.geteuid = lambda: 0
for call in ("setgroups", "setresuid", "setresgid"):
    if call == "{name}" or os.getuid():
        setattr(os, call, lambda *a: None)
os.getresuid = os.getresuid if os.getuid() == 0 else lambda: (0, 0, 0)
try:
    confine.confine(199999)
except InternalError as error:
    print(error.code)
"""
    assert run(code).stdout.strip() == "broker-privileged"
