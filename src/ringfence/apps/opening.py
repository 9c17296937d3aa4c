"""Opening the stores of a data directory: the one place that knows which store lies where.

Invariants:
1. Keys and the audit log are made on first use, together, by one process at a time, and never
   again: a missing key or log beside what is there is a refusal, because a new one would hide
   what happened.
2. Which key protects the vault is the operator's choice once: a file, or a passphrase that is
   read from the file ``$RINGFENCE_PASSPHRASE_FILE`` names.
3. Reading the audit log takes its public key alone: no vault, no passphrase, nothing is written.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfence.apps.settings import DataDir
from ringfence.chain.errors import InputError, Refused
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.audit_reader import AuditReader
from ringfence.store.keys import (
    AUDIT_KEY,
    VAULT_KEY,
    Keys,
    create_keys,
    load_audit_public,
    load_keys,
)
from ringfence.store.secrets import SecretStore

if TYPE_CHECKING:
    from ringfence.engine.durable import DurableEngine

PASSPHRASE_FILE = "RINGFENCE_PASSPHRASE_FILE"


def open_keys(data: DataDir) -> Keys:
    """Load both keys, making them and the audit log in a data directory that has none of them.

    Raises Refused for a missing, exposed or wrong key, Unavailable when the disk fails.
    """
    passphrase = _passphrase()
    if not _in_use(data):
        _begin(data, passphrase)
    return load_keys(data.root, passphrase=passphrase)


def _in_use(data: DataDir) -> bool:
    with _locked(data, fcntl.LOCK_SH):
        keys = (data.root / VAULT_KEY, data.root / AUDIT_KEY)
        return any(path.exists() for path in (data.audit, data.secrets, *keys))


def _begin(data: DataDir, passphrase: bytes | None) -> None:
    with _locked(data, fcntl.LOCK_EX):
        # Whoever was second in the queue finds everything made.
        if not any((data.root / name).exists() for name in (VAULT_KEY, AUDIT_KEY)):
            keys = create_keys(data.root, passphrase=passphrase)
            SqliteAuditLog(data.audit, keys.signer, create=True).close()


@contextmanager
def _locked(data: DataDir, lock: int) -> Iterator[None]:
    folder = os.open(data.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, lock)
        yield
    finally:
        os.close(folder)


def _passphrase() -> bytes | None:
    name = os.environ.get(PASSPHRASE_FILE)
    if not name:
        return None
    path = Path(name)
    try:
        facts = path.stat(follow_symlinks=False)
        if not stat.S_ISREG(facts.st_mode) or facts.st_mode & 0o077:
            raise Refused(
                "passphrase-exposed", f"{path} is readable by others", hint=f"chmod 600 {path}"
            )
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise InputError(
            "passphrase-unreadable", f"cannot read {path}: {error.strerror}", hint="check the path"
        ) from error


@contextmanager
def open_audit(data: DataDir) -> Iterator[SqliteAuditLog]:
    """Open the audit log for appending and reading. Raises Unavailable when it has gone."""
    keys = open_keys(data)
    with closing(SqliteAuditLog(data.audit, keys.signer)) as log:
        yield log


def read_audit(data: DataDir) -> AuditReader:
    """Give the audit log for reading; in a directory never used, a new and empty one.

    Raises Refused for a missing public key, Unavailable when the log is read and cannot be.
    """
    if not _in_use(data):
        open_keys(data)
    return AuditReader(data.audit, load_audit_public(data.root))


@contextmanager
def open_secrets(data: DataDir) -> Iterator[SecretStore]:
    """Open the vault for the calling thread."""
    with closing(SecretStore(data.secrets, open_keys(data).vault)) as store:
        yield store


def preload_engine() -> None:
    """Load the durable engine's modules, which costs most of a second of CPU."""
    import ringfence.store.durable.dbos_engine  # noqa: F401, PLC0415 - for its effect on sys.modules


def open_engine(data: DataDir, *, run: str) -> "DurableEngine":
    """Open the durable engine for the runner of one run, which is executor and pool of its own.

    Its journal is sealed with a key derived from the vault's, so it opens with it and only then.
    """
    from ringfence.store.durable.dbos_engine import DbosEngine  # noqa: PLC0415 - a second of CPU

    root = open_keys(data).vault.root_key()
    info = b"ringfence/engine-journal/1"
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root.reveal())
    return DbosEngine(data.root, key=key, executor=f"run:{run}", pool=run)
