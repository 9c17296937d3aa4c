"""Keys and log are made once, together; what is missing afterwards is missed, never remade."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringfence.apps.opening import (
    PASSPHRASE_FILE,
    open_audit,
    open_engine,
    open_keys,
    open_secrets,
    read_audit,
)
from ringfence.apps.settings import DataDir, open_data_dir
from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import InputError, Refused, RingfenceError, Unavailable
from ringfence.store.keys import create_vault_key

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RECORD = Record(time=NOW, event=EventName.SECRET_SET, actor="user:ana", subject="TOKEN")


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """A fresh data directory."""
    return open_data_dir(str(tmp_path / "data"))


@pytest.fixture
def used(data: DataDir) -> DataDir:
    """A data directory with a record and a secret in it."""
    with open_audit(data) as log, open_secrets(data) as vault:
        log.append([RECORD])
        vault.set("TOKEN", b"some-value", actor="user:ana", now=NOW)
    return data


def test_the_first_use_makes_everything_once(data: DataDir) -> None:
    """The second use finds the same keys."""
    first, second = open_keys(data), open_keys(data)
    assert first.vault.key_id == second.vault.key_id
    assert first.signer.origin == second.signer.origin
    assert read_audit(data).verify().ok


def test_many_processes_make_one_key(data: DataDir) -> None:
    """All of them start before any key is there, all succeed, and all hold the same keys."""
    code = (
        "import sys\n"
        "from ringfence.apps.opening import open_keys, open_audit\n"
        "from ringfence.apps.settings import open_data_dir\n"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
        "data = open_data_dir(sys.argv[1])\n"
        "keys = open_keys(data)\n"
        "with open_audit(data):\n"
        "    print(keys.vault.key_id.hex(), keys.signer.origin)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(data.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    ends = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        ends.append(out)
    assert len(set(ends)) == 1, ends


@pytest.mark.parametrize("name", ["vault.key", "audit.key"])
def test_a_missing_key_is_not_remade(used: DataDir, name: str) -> None:
    """Guard off: a new vault key can be made there, and opens nothing that was sealed before."""
    (used.root / name).rename(used.root.parent / name)
    with pytest.raises(Refused) as refusal:
        open_keys(used)
    assert refusal.value.code == "key-missing"
    assert not (used.root / name).exists()
    if name == "vault.key":
        create_vault_key(used.root)
        with pytest.raises(RingfenceError), open_secrets(used) as vault:
            vault.read("TOKEN")
        (used.root / name).unlink()
    (used.root.parent / name).rename(used.root / name)
    with open_secrets(used) as vault:
        assert vault.read("TOKEN").reveal() == b"some-value"


def test_a_missing_log_is_not_begun_again(used: DataDir) -> None:
    """Neither for appending nor for reading; an empty log would verify and hide everything."""
    for path in used.root.glob("audit.sqlite*"):
        path.unlink()
    with pytest.raises(Unavailable) as gone, open_audit(used):
        pass
    assert gone.value.code == "audit-missing"
    with pytest.raises(Unavailable):
        list(read_audit(used).read())
    assert not used.audit.exists()


def test_keys_that_are_gone_beside_a_log_are_not_remade(used: DataDir) -> None:
    """Both keys and the vault gone: the log alone still says that this is no new directory."""
    for name in ("vault.key", "audit.key", "audit.pub", "secrets.sqlite"):
        (used.root / name).unlink()
    with pytest.raises(Refused):
        open_keys(used)


def passphrase(folder: Path, text: str, *, mode: int = 0o600) -> str:
    """Write a passphrase file."""
    path = folder / "passphrase"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_with_a_passphrase_the_key_is_not_on_the_disk(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens with the passphrase, and with no other and with none it does not."""
    monkeypatch.setenv(PASSPHRASE_FILE, passphrase(tmp_path, "correct horse battery\n"))
    key = open_keys(data).vault.root_key().reveal()
    assert key not in b"".join(p.read_bytes() for p in data.root.iterdir())
    assert open_keys(data).vault.root_key().reveal() == key
    for other, code in (("wrong horse battery", "passphrase-wrong"), (None, "passphrase-needed")):
        if other is None:
            monkeypatch.delenv(PASSPHRASE_FILE)
        else:
            passphrase(tmp_path, other)
        with pytest.raises(Refused) as refusal:
            open_keys(data)
        assert refusal.value.code == code
        assert read_audit(data).verify().ok, "reading the record takes no passphrase"


@pytest.mark.parametrize("kind", ["readable", "link", "missing", "directory"])
def test_a_passphrase_file_others_can_reach_is_refused(
    data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Before any key is made; guard off: the same file with mode 0600 is taken."""
    path = Path(passphrase(tmp_path, "correct horse battery", mode=0o644))
    if kind != "readable":
        path.rename(tmp_path / "real")
        (tmp_path / "real").chmod(0o600)
    if kind == "link":
        path.symlink_to(tmp_path / "real")
    elif kind == "directory":
        path.mkdir(mode=0o700)
    monkeypatch.setenv(PASSPHRASE_FILE, str(path))
    with pytest.raises((Refused, InputError)):
        open_keys(data)
    assert list(data.root.iterdir()) == []
    good = path if kind == "readable" else tmp_path / "real"
    good.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(good))
    assert open_keys(data).vault.key_id


def test_the_engines_journal_opens_with_the_vaults_key_alone(data: DataDir) -> None:
    """Without that key it stays shut, and the key itself is in none of its files."""
    engine = open_engine(data, run="r20261121-abc")
    engine.close()
    root = open_keys(data).vault.root_key().reveal()
    stored = b"".join(p.read_bytes() for p in data.root.iterdir() if p.name != "vault.key")
    assert root not in stored
    (data.root / "vault.key").unlink()
    with pytest.raises(Refused):
        open_engine(data, run="r20261121-abc")
