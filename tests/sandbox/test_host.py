"""Facts about the host, and what is refused when one is missing."""

from pathlib import Path

import pytest

from ringfence.chain.errors import Refused
from ringfence.sandbox import bwrap, host


def test_this_host_can_hold_a_box() -> None:
    """Everything needed is here; if not, the message says what to do."""
    assert [f"{fact.name}: {fact.value}: {fact.fix}" for fact in host.facts().missing] == []
    host.require(host.facts())


def test_facts_are_complete() -> None:
    """Each fact has a value, and each that may be missing a fix."""
    found = host.facts().facts
    assert {fact.name for fact in found} == {
        "kernel", "arch", "uid", "cap-sys-admin", "user-namespaces", "bwrap", "seccomp", "cgroup",
        "overlay", "idmapped-overlay", "landlock",
    }  # fmt: skip
    assert all(fact.value for fact in found)


def fake_proc(tmp_path: Path, **files: str) -> Path:
    """A /proc in which everything is fine but what is given."""
    every = {
        "self/status": "CapEff:\t000001ffffffffff\n",
        "self/ns/user": "",
        "sys/user/max_user_namespaces": "100",
        "sys/kernel/seccomp/actions_avail": "kill_process errno allow",
        "filesystems": "nodev overlay",
    } | files
    for name, text in every.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


CASES = [
    ("self/status", "CapEff:\t0000000000000000\n", "cap-sys-admin", "--cap-add SYS_ADMIN"),
    ("sys/user/max_user_namespaces", "0", "user-namespaces", "sysctl -w user.max_user"),
    ("sys/kernel/unprivileged_userns_clone", "0", "user-namespaces", "unprivileged_userns_clone=1"),
    (
        "sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "user-namespaces",
        "apparmor_restrict_unprivileged_userns=0",
    ),
    ("sys/kernel/seccomp/actions_avail", "", "seccomp", "CONFIG_SECCOMP_FILTER"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_missing_grant_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str, str]
) -> None:
    """The box does not start, and the hint is the command that helps."""
    file, text, name, fix = case
    monkeypatch.setattr("os.geteuid", lambda: 0)
    found = host.facts(fake_proc(tmp_path, **{file: text}))
    with pytest.raises(Refused) as refused:
        host.require(found)
    assert refused.value.code == f"isolation-{name}"
    assert fix in refused.value.hint


def test_without_user_namespaces_nothing_starts(tmp_path: Path) -> None:
    """A kernel without them is refused."""
    proc = fake_proc(tmp_path)
    (proc / "self/ns/user").unlink()
    assert "user-namespaces" in {fact.name for fact in host.facts(proc).missing}


def test_a_missing_bubblewrap_is_a_missing_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the refusal is the name of the fact."""
    monkeypatch.setattr(bwrap, "FIXED_DIRECTORIES", ())
    monkeypatch.setattr(bwrap.find, "__defaults__", ((),))
    with pytest.raises(Refused) as refused:
        host.require(host.facts())
    assert refused.value.code == "isolation-bwrap-missing"


def test_what_is_unreadable_counts_as_missing(tmp_path: Path) -> None:
    """An empty /proc is no reason to go on."""
    missing = {fact.name for fact in host.facts(tmp_path).missing}
    assert {"user-namespaces", "seccomp"} <= missing
