"""Secrets at rest: sealed before SQLite sees them, current version only."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from ringfence.chain.errors import InputError, Refused, Unavailable
from ringfence.store.keys import VaultKey
from ringfence.store.secrets import SecretInfo, SecretStore
from ringfence.vault.envelope import Failure, SealBroken
from ringfence.vault.keyset import MAX_WRAPS
from ringfence.vault.secret import Secret

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = b"canary-9b1deb4d-3b7d-4bad"
KEY = VaultKey(Secret(bytes(range(32))))


@pytest.fixture
def store(data: Path) -> Iterator[SecretStore]:
    """An empty store."""
    made = SecretStore(data / "state.sqlite", KEY)
    yield made
    made.close()


def put(store: SecretStore, name: str, value: bytes = CANARY) -> int:
    """Set a secret as the tests' actor."""
    return store.set(name, value, actor="tester", now=NOW)


def attack(data: Path, text: str, *values: object) -> list[tuple[object, ...]]:
    """Run SQL on the file, as someone who holds it would."""
    with closing(sqlite3.connect(data / "state.sqlite", isolation_level=None)) as connection:
        return connection.execute(text, values).fetchall()


def failure(store: SecretStore, name: str) -> Failure:
    """Read a secret that must not open, and give the operator's class."""
    with pytest.raises(SealBroken) as caught:
        store.read(name)
    return caught.value.failure


def test_a_secret_comes_back(store: SecretStore, data: Path) -> None:
    """Through another process' eyes too: a second store on the file reads it."""
    assert put(store, "github/token") == 1
    assert store.read("github/token").reveal() == CANARY
    with closing(SecretStore(data / "state.sqlite", KEY)) as again:
        assert again.read("github/token").reveal() == CANARY


def test_versions_count_up_and_the_newest_is_read(store: SecretStore) -> None:
    """Setting again replaces the value and moves the version."""
    assert [put(store, "a", b"one"), put(store, "a", b"two"), put(store, "b", b"x")] == [1, 2, 1]
    assert store.read("a").reveal() == b"two"
    assert store.read("a", version=2).reveal() == b"two"


def test_a_lease_of_an_older_version_does_not_get_the_newer_value(store: SecretStore) -> None:
    """Whoever asks for version 1 after a rotation is refused by rule."""
    put(store, "a")
    put(store, "a")
    with pytest.raises(Refused) as caught:
        store.read("a", version=1)
    assert caught.value.code == "secret-version-gone"


def test_listing_shows_no_value(store: SecretStore) -> None:
    """Names, versions, times and actors, sorted; nothing is opened."""
    put(store, "b")
    put(store, "a")
    later = (NOW + timedelta(days=1)).astimezone(timezone(timedelta(hours=2)))
    store.set("a", CANARY, actor="other", now=later)
    assert store.list() == [
        SecretInfo(name="a", version=2, created=NOW, updated=later, actor="other"),
        SecretInfo(name="b", version=1, created=NOW, updated=NOW, actor="tester"),
    ]
    assert store.info("a") == store.list()[0]
    assert "canary" not in repr(store.list())


def test_removing_forgets(store: SecretStore) -> None:
    """A removed name is unknown; set anew it starts a new history."""
    put(store, "a")
    put(store, "a")
    store.remove("a")
    for act in (store.read, store.remove, store.info):
        with pytest.raises(InputError) as caught:
            act("a")
        assert caught.value.code == "secret-unknown"
    assert put(store, "a") == 1


def test_no_value_lies_in_any_file(store: SecretStore, data: Path) -> None:
    """Database and write-ahead log hold no value, and after a change not the old ciphertext."""
    put(store, "a")
    old = attack(data, "SELECT sealed FROM secret")[0][0]
    assert isinstance(old, bytes)
    put(store, "a", b"another value")
    attack(data, "PRAGMA wal_checkpoint(TRUNCATE)")
    held = b"".join(path.read_bytes() for path in data.iterdir())
    assert b"github" not in held
    assert CANARY not in held
    assert CANARY[:12] not in held
    assert old[-32:] not in held


def test_the_same_value_is_stored_differently_each_time(store: SecretStore, data: Path) -> None:
    """Nobody sees from the file that two secrets are equal: no fingerprint, no reused key."""
    put(store, "a")
    put(store, "b")
    rows = attack(data, "SELECT sealed, wrapped, dek_id FROM secret")
    assert all(one != two for one, two in zip(*rows, strict=True))


def test_an_older_ciphertext_does_not_open_as_the_current_one(
    store: SecretStore, data: Path
) -> None:
    """Guard off: as the version it was, the old row opens. As the current one it fails."""
    put(store, "a", b"leaked long ago")
    old = attack(data, "SELECT version, dek_id, wrapped, sealed FROM secret")[0]
    put(store, "a", b"rotated")
    swap = "UPDATE secret SET dek_id = ?, wrapped = ?, sealed = ?"
    attack(data, swap, *old[1:])
    assert failure(store, "a") == Failure.TAMPERED
    attack(data, "UPDATE secret SET version = ?", old[0])
    assert store.read("a").reveal() == b"leaked long ago"


def test_the_state_shows_a_database_put_back(store: SecretStore, data: Path) -> None:
    """The seal cannot see a whole row put back with its version; the state on the record can."""
    put(store, "a", b"old")
    row = attack(data, "SELECT * FROM secret")[0]
    before = store.state()
    put(store, "a", b"new")
    after = store.state()
    marks = ", ".join("?" * len(row))
    attack(data, f"INSERT OR REPLACE INTO secret VALUES ({marks})", *row)
    assert store.read("a").reveal() == b"old"
    assert before == store.state() != after


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE secret SET name = 'c' WHERE name = 'a'", Failure.TAMPERED),
        ("UPDATE secret SET version = 7 WHERE name = 'a'", Failure.TAMPERED),
        ("UPDATE secret SET secret_id = 'x' WHERE name = 'a'", Failure.TAMPERED),
        ("UPDATE secret SET version = -1 WHERE name = 'a'", Failure.MALFORMED),
        ("UPDATE secret SET dek_id = x'00' WHERE name = 'a'", Failure.MALFORMED),
        ("UPDATE secret SET dek_id = zeroblob(16) WHERE name = 'a'", Failure.WRONG_KEY),
        ("UPDATE secret SET sealed = x'' WHERE name = 'a'", Failure.MALFORMED),
        ("UPDATE secret SET wrapped = sealed WHERE name = 'a'", Failure.WRONG_KEY),
        (
            "UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'b')",
            Failure.WRONG_KEY,
        ),
    ],
)
def test_a_row_changed_by_hand_does_not_open(
    store: SecretStore, data: Path, change: str, expected: Failure
) -> None:
    """Every column that says where a value belongs is bound into it."""
    put(store, "a")
    put(store, "b")
    attack(data, change)
    assert failure(store, "c" if "name = 'c'" in change else "a") == expected


def test_swapping_two_secrets_does_not_serve_one_for_the_other(
    store: SecretStore, data: Path
) -> None:
    """All sealed columns moved together still name their own place."""
    put(store, "a", b"for host a")
    put(store, "b", b"for host b")
    attack(
        data,
        "UPDATE secret SET (dek_id, wrapped, sealed) = "
        "(SELECT dek_id, wrapped, sealed FROM secret WHERE name = 'b') WHERE name = 'a'",
    )
    assert failure(store, "a") == Failure.TAMPERED


def test_a_column_of_another_type_is_malformed(store: SecretStore, data: Path) -> None:
    """A table made anew with loose types gives a refusal, not a crash."""
    put(store, "a")
    attack(data, "CREATE TABLE loose AS SELECT * FROM secret")
    attack(data, "DROP TABLE secret")
    attack(data, "ALTER TABLE loose RENAME TO secret")
    attack(data, "UPDATE secret SET sealed = 5, version = 'one'")
    assert failure(store, "a") == Failure.MALFORMED
    attack(data, "UPDATE secret SET created = 'yesterday'")
    with pytest.raises(Unavailable) as caught:
        store.list()
    assert caught.value.code == "store-damaged"


def test_another_root_key_opens_nothing(store: SecretStore, data: Path) -> None:
    """The file under another vault key is unreadable and says so to the operator."""
    put(store, "a")
    with closing(SecretStore(data / "state.sqlite", VaultKey(Secret(bytes(32))))) as other:
        assert failure(other, "a") == Failure.WRONG_KEY


def test_organisations_do_not_see_each_other(store: SecretStore, data: Path) -> None:
    """Same file, same key, same name: two secrets; a row moved over does not open."""
    put(store, "a", b"ours")
    with closing(SecretStore(data / "state.sqlite", KEY, org="other")) as other:
        with pytest.raises(InputError):
            other.read("a")
        put(other, "a", b"theirs")
        assert store.read("a").reveal() == b"ours"
        attack(data, "DELETE FROM secret WHERE org = 'other'")
        attack(data, "UPDATE secret SET org = 'other'")
        assert failure(other, "a") == Failure.TAMPERED


def test_the_counter_moves_with_each_key_and_stops(store: SecretStore, data: Path) -> None:
    """At the limit nothing is stored any more; before it, each set costs one."""
    put(store, "a")
    put(store, "a")
    assert attack(data, "SELECT wraps FROM root_key_use") == [(2,)]
    attack(data, "UPDATE root_key_use SET wraps = ?", MAX_WRAPS)
    with pytest.raises(Refused) as caught:
        put(store, "b")
    assert caught.value.code == "root-key-worn-out"
    assert [info.name for info in store.list()] == ["a"]


@pytest.mark.parametrize(
    "name", ["", "/a", "-a", "a b", "a\n", "a;DROP TABLE", "é", "x" * 129, "canary-$ecret"]
)
def test_a_bad_name_is_refused_and_not_quoted(store: SecretStore, name: str) -> None:
    """People paste the value where the name belongs, so an error never repeats it."""
    for act in (put, SecretStore.read, SecretStore.info, SecretStore.remove):
        with pytest.raises(InputError) as caught:
            act(store, name)
        assert caught.value.code == "secret-name"
        assert not name or name not in str(caught.value.to_json())


@pytest.mark.parametrize("size", [0, 64 * 1024 + 1])
def test_a_bad_size_is_refused(store: SecretStore, size: int) -> None:
    """Nothing, or more than 64 KiB, is no credential."""
    with pytest.raises(InputError) as caught:
        put(store, "a", b"x" * size)
    assert caught.value.code == "secret-size"


def test_a_busy_file_stores_nothing(store: SecretStore, data: Path) -> None:
    """While another process holds the lock, set fails and the old value stays."""
    put(store, "a", b"old")
    store._connection.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(data / "state.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            put(store, "a", b"new value that must not show")
        other.execute("ROLLBACK")
    assert caught.value.code == "store-busy"
    assert "must not show" not in str(caught.value.to_json())
    assert store.read("a").reveal() == b"old"


def test_a_closed_store_is_unavailable(store: SecretStore) -> None:
    """After close nothing is read or written."""
    put(store, "a")
    store.close()
    for act in (put, SecretStore.read, SecretStore.remove):
        with pytest.raises(Unavailable):
            act(store, "a")
    with pytest.raises(Unavailable):
        store.list()
