"""Key files: made once, read only when nobody else can."""

import json
import os
import stat
from pathlib import Path

import pytest

from ringfence.audit.checkpoint import Signer
from ringfence.chain.errors import InputError, Refused, Unavailable
from ringfence.store import keys
from ringfence.store.keys import (
    create_audit_key,
    create_keys,
    create_vault_key,
    load_audit_key,
    load_audit_public,
    load_keys,
    load_vault_key,
)

PASSPHRASE = b"correct horse battery staple"


def refusal(directory: Path, **how: bytes) -> Refused:
    """Load the vault key, which must be refused with a hint."""
    with pytest.raises(Refused) as caught:
        load_vault_key(directory, **how)
    assert caught.value.hint
    return caught.value


def test_keys_are_made_and_read_back(tmp_path: Path) -> None:
    """Init makes a private directory with three files; loading gives the same keys."""
    directory = tmp_path / "a" / "data"
    made, again = create_keys(directory), load_keys(directory)
    assert made.vault.root_key().reveal() == again.vault.root_key().reveal()
    assert made.vault.key_id == again.vault.key_id
    assert made.signer.to_line() == again.signer.to_line()
    assert load_audit_public(directory) == made.signer.verifier
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {"vault.key": 0o400, "audit.key": 0o400, "audit.pub": 0o444}


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    """An open umask opens nothing."""
    before = os.umask(0)
    try:
        create_keys(tmp_path / "data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "vault.key").stat().st_mode) == 0o400


def test_a_key_is_never_overwritten(data: Path) -> None:
    """A second init leaves the first key as it was."""
    create_keys(data)
    before = (data / "vault.key").read_bytes()
    for create in (create_vault_key, create_audit_key):
        with pytest.raises(Refused) as caught:
            create(data)
        assert caught.value.code == "key-exists"
    assert (data / "vault.key").read_bytes() == before


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o420, 0o604, 0o477])
def test_a_key_that_others_can_reach_is_refused(data: Path, mode: int) -> None:
    """Any bit for group or others; the hint is the command."""
    create_vault_key(data)
    (data / "vault.key").chmod(mode)
    error = refusal(data)
    assert error.code == "key-exposed"
    assert f"chmod 400 {data}/vault.key" in error.hint


def test_a_directory_that_others_can_reach_is_refused(data: Path) -> None:
    """Whoever may write the directory may swap the key."""
    create_vault_key(data)
    data.chmod(0o750)
    assert refusal(data).hint == f"chmod 700 {data}"
    with pytest.raises(Refused):
        create_audit_key(data)


def test_a_symbolic_link_is_refused(data: Path, tmp_path: Path) -> None:
    """Reading by path would follow it; we do not."""
    (tmp_path / "other").write_bytes(bytes(32))
    (tmp_path / "other").chmod(0o400)
    (data / "vault.key").symlink_to(tmp_path / "other")
    assert (data / "vault.key").read_bytes() == bytes(32)
    assert refusal(data).code == "key-exposed"


def test_a_linked_directory_is_refused(data: Path, tmp_path: Path) -> None:
    """The directory is the one named, not one it points to."""
    create_vault_key(data)
    (tmp_path / "link").symlink_to(data)
    assert refusal(tmp_path / "link").code == "key-exposed"


def test_a_second_name_of_the_key_is_refused(data: Path, tmp_path: Path) -> None:
    """A hard link elsewhere is a copy that stays."""
    create_vault_key(data)
    os.link(data / "vault.key", tmp_path / "copy")
    assert refusal(data).code == "key-exposed"


def test_a_pipe_does_not_hang_the_reader(data: Path) -> None:
    """What is no regular file is refused without waiting for it."""
    os.mkfifo(data / "vault.key", 0o400)
    assert refusal(data).code == "key-exposed"


def test_another_users_key_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key whose owner can change it is not taken, even in a directory of ours."""
    create_vault_key(data)
    users = iter([os.geteuid(), os.geteuid() + 1])
    monkeypatch.setattr(keys.os, "geteuid", lambda: next(users))
    assert "vault.key is not a file of this user" in refusal(data).message


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64, 5000])
def test_a_key_of_another_size_is_refused(data: Path, size: int) -> None:
    """A cut or padded key is no key."""
    (data / "vault.key").write_bytes(b"\x01" * size)
    (data / "vault.key").chmod(0o400)
    assert refusal(data).code == "key-malformed"


def test_a_missing_key_is_named(data: Path) -> None:
    """Nothing is made in its place."""
    assert refusal(data).code == "key-missing"
    assert list(data.iterdir()) == []


def test_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    """A wrong data directory says so."""
    with pytest.raises(Unavailable):
        load_vault_key(tmp_path / "nowhere")


def test_a_passphrase_opens_its_key_and_no_other_does(data: Path) -> None:
    """The file holds no key; the same passphrase gives the same key, another is refused."""
    made = create_vault_key(data, passphrase=PASSPHRASE)
    stored = (data / "vault.key").read_bytes()
    assert made.root_key().reveal() not in stored
    assert made.root_key().reveal().hex().encode() not in stored
    assert PASSPHRASE not in stored
    again = load_vault_key(data, passphrase=PASSPHRASE)
    assert again.root_key().reveal() == made.root_key().reveal()
    assert refusal(data, passphrase=b"correct horse battery stable").code == "passphrase-wrong"
    assert refusal(data).code == "passphrase-needed"


def test_the_stored_cost_is_the_one_documented(data: Path) -> None:
    """Argon2id with three passes, 64 MiB and four lanes."""
    create_vault_key(data, passphrase=PASSPHRASE)
    stored = json.loads((data / "vault.key").read_text())
    assert (stored["passes"], stored["kibibytes"], stored["lanes"]) == (3, 65536, 4)


def test_a_short_passphrase_is_refused_before_any_file(data: Path) -> None:
    """Eleven bytes are too few, and nothing is left behind."""
    with pytest.raises(InputError) as caught:
        create_vault_key(data, passphrase=b"hunter2hunt")
    assert "hunter2" not in str(caught.value.to_json())
    assert list(data.iterdir()) == []


def test_a_passphrase_for_a_plain_key_is_refused(data: Path) -> None:
    """Whoever believes there is a passphrase is told that there is none."""
    create_vault_key(data)
    assert refusal(data, passphrase=PASSPHRASE).code == "key-malformed"


@pytest.mark.parametrize(
    "change",
    [
        {"passes": 2}, {"kibibytes": 1024}, {"lanes": 1}, {"kibibytes": 2**40}, {"passes": 10**9},
        {"passes": True}, {"passes": 3.0}, {"passes": "3"}, {"salt": "00"}, {"salt": 5},
        {"verifier": "zz"}, {"verifier": ""}, {"v": 2}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_passphrase_file_is_read_strictly(data: Path, change: dict[str, object]) -> None:
    """Weaker or absurd costs, other types, more or fewer fields: refused before any work."""
    good = {
        "v": 1, "salt": "00" * 16, "verifier": "00" * 32, "passes": 3, "kibibytes": 65536,
        "lanes": 4,
    }  # fmt: skip
    (data / "vault.key").write_text(json.dumps(good | change))
    (data / "vault.key").chmod(0o400)
    assert refusal(data, passphrase=PASSPHRASE).code == "key-malformed"


@pytest.mark.parametrize("content", ["[]", "null", "{", "[" * 4000, "{}", "\xff"])
def test_other_contents_are_malformed(data: Path, content: str) -> None:
    """Whatever is in the file, the answer is a refusal."""
    (data / "vault.key").write_text(content)
    (data / "vault.key").chmod(0o400)
    assert refusal(data, passphrase=PASSPHRASE).code == "key-malformed"


def test_one_key_in_both_roles_is_refused(data: Path) -> None:
    """Each file alone is fine; together they are one key for two purposes."""
    made = create_keys(data)
    line = Signer(made.signer.origin, made.signer.private_key).to_line()
    (data / "vault.key").chmod(0o600)
    (data / "vault.key").write_bytes(made.signer.private_key.private_bytes_raw())
    (data / "vault.key").chmod(0o400)
    assert load_vault_key(data).root_key().reveal()
    assert load_audit_key(data).to_line() == line
    with pytest.raises(Refused) as caught:
        load_keys(data)
    assert caught.value.code == "keys-shared"


@pytest.mark.parametrize(
    ("name", "load"),
    [("audit.key", load_audit_key), ("audit.pub", load_audit_public)],
)
@pytest.mark.parametrize("content", [b"x\n", b"no line end", b"\xff\n", bytes(32)])
def test_bad_audit_keys_are_refused(data: Path, name: str, load: object, content: bytes) -> None:
    """A vault key copied over an audit key is not one, nor is any other text."""
    (data / name).write_bytes(content)
    (data / name).chmod(0o400)
    with pytest.raises(Refused) as caught:
        load(data)  # type: ignore[operator]
    assert caught.value.code == "key-malformed"
    assert caught.value.__cause__ is None


def test_a_public_key_that_others_can_write_is_refused(data: Path) -> None:
    """Whoever can swap audit.pub can make a forged log verify."""
    create_audit_key(data)
    (data / "audit.pub").chmod(0o646)
    with pytest.raises(Refused) as caught:
        load_audit_public(data)
    assert caught.value.code == "key-exposed"


def test_logs_get_their_own_names(tmp_path: Path) -> None:
    """Two installations never sign under one name."""
    names = {create_audit_key(tmp_path / str(n)).origin for n in range(5)}
    assert len(names) == 5


def test_a_place_that_cannot_hold_a_key_is_named(data: Path) -> None:
    """A data directory that is a file, or below one, or gone meanwhile, is Unavailable."""
    (data / "file").touch()
    for place in (data / "file", data / "file" / "below"):
        with pytest.raises(Unavailable):
            create_vault_key(place)
    with pytest.raises(Unavailable):
        keys._write_new(data / "nowhere" / "vault.key", b"x", 0o400)


def test_half_a_key_is_not_left_behind(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while the key is written leaves no file to trip over."""

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", fail)
    with pytest.raises(Unavailable):
        create_vault_key(data)
    assert list(data.iterdir()) == []


def test_a_key_does_not_print() -> None:
    """A provider in a traceback shows no bytes."""
    assert "root" not in repr(keys.VaultKey(keys.Secret(b"rootrootrootrootrootrootrootroot")))
