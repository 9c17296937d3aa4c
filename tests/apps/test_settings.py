"""The data directory is ours alone, or nothing starts."""

import os
from pathlib import Path

import pytest

from ringfence.apps.settings import host_failed, open_data_dir, person
from ringfence.chain.errors import InputError


def test_a_new_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    """Made with mode 0700, also below missing parents."""
    data = open_data_dir(str(tmp_path / "a" / "b"))
    assert data.root.stat().st_mode & 0o777 == 0o700


def test_a_data_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    """Another user could read keys in it."""
    tmp_path.chmod(0o755)
    with pytest.raises(InputError) as refusal:
        open_data_dir(str(tmp_path))
    assert refusal.value.code == "data-dir-open-to-others"
    assert "chmod 700" in refusal.value.hint


def test_a_data_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A link could be pointed elsewhere between two commands."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError):
        open_data_dir(str(tmp_path / "link"))


def test_a_person_is_known_by_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment cannot name another."""
    before = person()
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    assert person() == before
    assert before.startswith("user:")
    assert os.getuid() != 0 or before == "user:root"


def test_a_failure_of_the_host_names_the_file() -> None:
    """What the kernel said, and for what; without a name it still says something."""
    missing = host_failed(FileNotFoundError(2, "No such file or directory", "/data/x"))
    assert (missing.code, missing.message) == ("host-failed", "/data/x: No such file or directory")
    assert host_failed(OSError()).message == "this host: OSError"
