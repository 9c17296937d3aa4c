"""Secrets in SQLite: names and versions in clear, values sealed, one current version each.

Invariants:
1. A value is sealed before SQLite sees it; no SQL text, error or log line holds one.
2. Setting a name again makes the next version under a fresh key; the older one is overwritten and
   its bytes, put back by hand, do not open as the current one.
3. The root key's counter moves in the same transaction as the key it wrapped.
4. No fingerprint or hash of a value is stored.

Recording is the caller's part: make ``secret.set``, ``secret.remove`` or ``secret.use`` durable in
the audit log before calling (R8). A whole database put back to an older state opens; `state` is
what to put on the record to notice it.
"""

import hashlib
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ringfence.chain.canonical import digest
from ringfence.chain.errors import InputError, Refused, Unavailable
from ringfence.store.sqlite import connect, failing, prepare, transaction
from ringfence.vault.envelope import (
    MAX_PLAINTEXT_BYTES,
    Context,
    Failure,
    Purpose,
    SealBroken,
    open_sealed,
    seal,
)
from ringfence.vault.keyset import KeyProvider, fresh_key, unwrap
from ringfence.vault.secret import Secret

PART: Final = "secrets"
VERSION: Final = 1
LAYOUT: Final = (
    """CREATE TABLE secret (
        secret_id TEXT PRIMARY KEY, org TEXT NOT NULL, name TEXT NOT NULL,
        version INTEGER NOT NULL, kek_id BLOB NOT NULL, dek_id BLOB NOT NULL,
        wrapped BLOB NOT NULL, sealed BLOB NOT NULL,
        created TEXT NOT NULL, updated TEXT NOT NULL, actor TEXT NOT NULL,
        UNIQUE (org, name)
    ) STRICT""",
    """CREATE TABLE root_key_use (
        kek_id BLOB PRIMARY KEY, wraps INTEGER NOT NULL
    ) STRICT""",
)

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """What may be shown about a secret."""

    name: str
    version: int
    created: datetime
    updated: datetime
    actor: str


class SecretStore:
    """The secrets of one organisation in one database file. For one thread at a time."""

    def __init__(self, path: Path, provider: KeyProvider, *, org: str = "local") -> None:
        self._path = path
        self._provider = provider
        self._org = org
        self._connection = connect(path, durable=True)
        prepare(self._connection, path, part=PART, version=VERSION, layout=LAYOUT)

    def close(self) -> None:
        """Close the file; every later call raises Unavailable."""
        self._connection.close()

    def set(self, name: str, value: bytes, *, actor: str, now: datetime) -> int:
        """Seal a value under this name and give its version (from 1).

        The caller has made the ``secret.set`` record durable before.

        Raises InputError for a bad name or size (never quoting either), Refused when the root key
        is worn out, Unavailable.
        """
        check_name(name)
        if not 1 <= len(value) <= MAX_PLAINTEXT_BYTES:
            raise InputError(
                "secret-size",
                f"a secret has 1 to {MAX_PLAINTEXT_BYTES} bytes",
                hint="keep larger things in a file and their key here",
            )
        moment = now.astimezone(UTC).isoformat()
        with failing(self._path), transaction(self._connection):
            known = self._row(name)
            secret_id = known["secret_id"] if known is not None else secrets.token_hex(16)
            version = known["version"] + 1 if known is not None else 1
            created = known["created"] if known is not None else moment
            place = self._context(secret_id, name, version)
            fresh = fresh_key(self._provider, place, wraps=self._wraps())
            self._connection.execute(
                "INSERT OR REPLACE INTO root_key_use VALUES (?, ?)",
                (self._provider.key_id, fresh.wraps),
            )
            self._connection.execute(
                "INSERT OR REPLACE INTO secret VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    secret_id, self._org, name, version, fresh.key.kek_id, fresh.key.dek_id,
                    fresh.wrapped, seal(value, fresh.key, place), created, moment, actor,
                ),
            )  # fmt: skip
        return version

    def list(self) -> list[SecretInfo]:
        """Give what may be shown about every secret, by name. Values are not touched."""
        with failing(self._path):
            rows = self._query("SELECT * FROM secret WHERE org = ? ORDER BY name", (self._org,))
        return [self._info(row) for row in rows]

    def info(self, name: str) -> SecretInfo:
        """Give what may be shown about one secret. Raises InputError for an unknown name."""
        return self._info(self._known(name))

    def remove(self, name: str) -> None:
        """Forget a secret; SQLite overwrites its bytes in the file.

        The caller has made the ``secret.remove`` record durable before. Copies in backups stay.

        Raises InputError for an unknown name, Unavailable.
        """
        with failing(self._path), transaction(self._connection):
            row = self._known(name)
            self._connection.execute("DELETE FROM secret WHERE secret_id = ?", (row["secret_id"],))

    def read(self, name: str, *, version: int | None = None) -> Secret:
        """Open a secret; with ``version``, only if that is still the current one.

        1. The caller makes the record of the use durable. 2. Load the row. 3. Compare the version.
        4. Unwrap its key. 5. Open the value. 6. The caller delivers it and wipes it.

        Raises InputError for an unknown name, Refused (``secret-version-gone``), SealBroken,
        Unavailable.
        """
        row = self._known(name)
        if version is not None and version != row["version"]:
            raise Refused(
                "secret-version-gone",
                f"the secret is at version {row['version']}, not {version}",
                hint="start a new run; it will lease the current version",
            )
        try:
            place = self._context(row["secret_id"], row["name"], row["version"])
            key = unwrap(self._provider, row["wrapped"], row["dek_id"], place)
            return open_sealed(row["sealed"], key, place)
        except (ValueError, TypeError, AttributeError, OverflowError):
            # The file may hold any type and number; what is no sealed secret is malformed.
            raise SealBroken(Failure.MALFORMED) from None

    def state(self) -> str:
        """Give a digest over every secret's id, version and sealed bytes, for the audit record.

        It changes with every `set` and `remove`; an older database has an older state.
        """
        with failing(self._path):
            rows = self._query("SELECT * FROM secret ORDER BY secret_id", ())
        return digest(
            [
                [row["secret_id"], row["org"], row["name"], row["version"],
                 hashlib.sha256(row["wrapped"] + row["sealed"]).hexdigest()]
                for row in rows
            ]
        )  # fmt: skip

    def _known(self, name: str) -> sqlite3.Row:
        check_name(name)
        with failing(self._path):
            row = self._row(name)
        if row is None:
            raise InputError(
                "secret-unknown",
                "no secret has that name",
                hint="`ringfence secret list` shows the names",
            )
        return row

    def _row(self, name: str) -> sqlite3.Row | None:
        rows = self._query("SELECT * FROM secret WHERE org = ? AND name = ?", (self._org, name))
        return rows[0] if rows else None

    def _query(self, text: str, values: tuple[str, ...]) -> Sequence[sqlite3.Row]:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(text, values).fetchall()

    def _wraps(self) -> int:
        row = self._connection.execute(
            "SELECT wraps FROM root_key_use WHERE kek_id = ?", (self._provider.key_id,)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def _info(self, row: sqlite3.Row) -> SecretInfo:
        try:
            return SecretInfo(
                name=row["name"],
                version=row["version"],
                created=datetime.fromisoformat(row["created"]),
                updated=datetime.fromisoformat(row["updated"]),
                actor=row["actor"],
            )
        except (ValueError, TypeError):
            raise Unavailable(
                "store-damaged",
                f"{self._path.name} holds a secret without times",
                hint="restore the file from a backup",
            ) from None

    def _context(self, secret_id: str, name: str, version: int) -> Context:
        return Context(
            purpose=Purpose.VALUE, org=self._org, secret_id=secret_id, name=name, version=version
        )


def check_name(name: str) -> None:
    """Refuse what cannot be a secret's name. Raises InputError."""
    # The name is not quoted: people paste the value where the name belongs.
    if NAME.fullmatch(name) is None:
        raise InputError(
            "secret-name",
            "a secret's name has 1 to 128 letters, digits or _ . : / -",
            hint="give the name first; the value is read from standard input",
        )
