import shutil
import subprocess
import time
from pathlib import Path

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.world import SHARED, World, hashes, lay, recorded, use
from ringfence.audit.record import EventName


def test_two_worlds_share_nothing(tmp_path: Path, addresses: Addresses) -> None:
    """What is left over from one half can never be taken for the other's."""
    first = lay(tmp_path / "a", addresses, guarded=False)
    second = lay(tmp_path / "b", addresses, guarded=True)
    assert first.mark != second.mark
    assert first.canaries.gh.core != second.canaries.gh.core
    for world in (first, second):
        world.servers._loop.close()


def test_the_home_holds_what_a_thief_looks_for(world: World) -> None:
    """Key and cloud credentials lie where they always lie."""
    assert world.canaries.host.core in (world.home / ".ssh" / "id_ed25519").read_text()
    assert world.canaries.aws.value in (world.home / ".aws" / "credentials").read_text()
    assert world.environment()["SRV_TOKEN"] == world.canaries.srv.value


def test_an_agent_is_a_chain_entry_with_a_puppet(world: World) -> None:
    """The entry names no secret value and no more rights than it was given."""
    entry = world.agent("a", "job", secrets=[use(world.canaries.gh, "forge.test", "T")])
    assert entry["run"] == ["python3", "puppet.py", "jobs/a.txt"]
    assert world.canaries.gh.core not in str(entry)
    assert "network" not in entry
    route = world.route("forge.test", "GET", "/a", "/b")
    assert route["allowPrivate"] == [f"{world.addresses.of('forge.test')}/32"]


def test_lingering_processes_and_dropped_files_are_cleaned(world: World) -> None:
    """What an unguarded attack left on the host is found by its mark and removed."""
    child = subprocess.Popen(["sh", "-c", f"sleep 60; : {world.mark}"], start_new_session=True)
    drop = SHARED[0] / f"drop-{world.mark}"
    drop.touch()
    deadline = time.monotonic() + 10
    # The kernel wakes the parent before the child's new command line can be read.
    while child.pid not in world.lingering():
        assert time.monotonic() < deadline
    world.clean()
    assert child.wait(timeout=10) == -9
    assert not drop.exists()


def test_hashes_tell_content_mode_link_and_kind(tmp_path: Path) -> None:
    """Any change to a tree shows."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    before = hashes(tmp_path)
    assert set(before) == {"d", "d/f", "l"}
    (tmp_path / "d" / "f").chmod(0o755)
    assert hashes(tmp_path)["d/f"] != before["d/f"]
    shutil.rmtree(tmp_path / "d")
    assert set(hashes(tmp_path)) == {"l"}


def test_records_are_found_by_event_and_words(world: World) -> None:
    """The first record of the event that holds all words is given."""
    world.records = [
        {"event": "egress.deny", "subject": "POST https://evil.test:8443/a", "rule": "no-route"},
        {"event": "egress.allow", "subject": "GET https://forge.test:8443/a"},
    ]
    found = recorded(world, EventName.EGRESS_DENY, "evil.test", "POST")
    assert found is world.records[0]
    assert recorded(world, EventName.EGRESS_DENY, "forge.test") is None


def test_output_is_found_in_either_half(world: World) -> None:
    """The guarded half's output lies in the run's directory."""
    assert world.output("r.md") == ""
    place = world.data / "runs" / "r1" / "files"
    place.mkdir(parents=True)
    (place / "r.md").write_text("text")
    assert world.output("r.md") == "text"
