"""Opening the stores of a data directory: the one place that knows which store lies where.

Invariants:
1. Keys and the audit log are made on first use and never again: a missing key beside existing
   data is a refusal, because a new key would hide what happened.
2. Which key protects the vault is the operator's choice once: a file, or a passphrase that is
   read from the file ``$RINGFENCE_PASSPHRASE_FILE`` names.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfence.apps.settings import DataDir
from ringfence.chain.errors import InputError, Refused
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.keys import Keys, create_audit_key, create_vault_key, load_keys
from ringfence.store.secrets import SecretStore

if TYPE_CHECKING:
    from ringfence.engine.durable import DurableEngine

PASSPHRASE_FILE = "RINGFENCE_PASSPHRASE_FILE"


def open_keys(data: DataDir) -> Keys:
    """Load both keys, making them in a data directory that holds nothing yet."""
    passphrase = _passphrase()
    if not any(path.exists() for path in (data.audit, data.secrets)):
        for create in (
            lambda: create_vault_key(data.root, passphrase=passphrase),
            lambda: create_audit_key(data.root),
        ):
            # Another process may be making the same key right now; what counts is what is loaded.
            with suppress(Refused):
                create()
    return load_keys(data.root, passphrase=passphrase)


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
    """Open the audit log for appending and reading."""
    keys = open_keys(data)
    with closing(SqliteAuditLog(data.audit, keys.signer, create=True)) as log:
        yield log


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
