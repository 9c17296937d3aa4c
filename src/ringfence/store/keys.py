"""The two key files: the vault's root key and the audit log's signing key.

Invariants:
1. A key file is made once, with O_EXCL, mode 0400, in a directory of mode 0700, and synced.
2. It is read only if it is a regular file of our own user that no one else can reach, has one name
   and the exact form. Anything else is refused with the command that mends it.
3. With a passphrase the file holds salt, Argon2id parameters and a verifier, never the key.
4. The signing key is drawn on its own and never equals the vault key.

It does not protect keys from root or from a process of the same user.
"""

import hmac
import json
import os
import secrets
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfence.audit.checkpoint import CheckpointError, Signer, Verifier
from ringfence.chain.canonical import canonical_json
from ringfence.chain.errors import InputError, Refused, Unavailable
from ringfence.vault.envelope import KEY_BYTES, key_id
from ringfence.vault.secret import Secret

VAULT_KEY: Final = "vault.key"
AUDIT_KEY: Final = "audit.key"
AUDIT_PUBLIC: Final = "audit.pub"

MAX_FILE_BYTES: Final = 4096
MIN_PASSPHRASE_BYTES: Final = 12

# RFC 9106 section 4, second recommendation, which also fits a small machine.
ARGON2_PASSES: Final = 3
ARGON2_KIBIBYTES: Final = 64 * 1024
ARGON2_LANES: Final = 4
# A file that asks for more than this was not written by us.
_ARGON2_MOST: Final = {"passes": 20, "kibibytes": 1024 * 1024, "lanes": 16}
_ARGON2_LEAST: Final = {
    "passes": ARGON2_PASSES, "kibibytes": ARGON2_KIBIBYTES, "lanes": ARGON2_LANES,
}  # fmt: skip
_SALT_BYTES: Final = 16


class VaultKey:
    """A root key in memory; a `ringfence.vault.keyset.KeyProvider`."""

    __slots__ = ("_key", "_key_id")

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._key_id = key_id(key)

    @property
    def key_id(self) -> bytes:
        """The public id."""
        return self._key_id

    def root_key(self) -> Secret:
        """Give the root key."""
        return self._key


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Both keys of a data directory."""

    vault: VaultKey
    signer: Signer


def create_keys(directory: Path, *, passphrase: bytes | None = None) -> Keys:
    """Make both keys and ``audit.pub`` in a directory, creating it if needed.

    Raises Refused when a key is already there or the directory is open to others, InputError for a
    passphrase under 12 bytes, Unavailable when the disk fails.
    """
    create_vault_key(directory, passphrase=passphrase)
    create_audit_key(directory)
    return load_keys(directory, passphrase=passphrase)


def load_keys(directory: Path, *, passphrase: bytes | None = None) -> Keys:
    """Read both keys. Raises Refused, also when one key serves both purposes."""
    vault = load_vault_key(directory, passphrase=passphrase)
    signer = load_audit_key(directory)
    seed = signer.private_key.private_bytes_raw()
    if hmac.compare_digest(vault.root_key().reveal(), seed):
        raise Refused(
            "keys-shared",
            "the audit key is the vault key",
            hint=f"move {AUDIT_KEY} and {AUDIT_PUBLIC} away and create a new audit key",
        )
    return Keys(vault=vault, signer=signer)


def create_vault_key(directory: Path, *, passphrase: bytes | None = None) -> VaultKey:
    """Make ``vault.key``: a random root key, or the parameters to derive one from a passphrase."""
    _own_directory(directory, create=True)
    if passphrase is None:
        content = secrets.token_bytes(KEY_BYTES)
    else:
        if len(passphrase) < MIN_PASSPHRASE_BYTES:
            raise InputError(
                "passphrase-short",
                f"a passphrase has at least {MIN_PASSPHRASE_BYTES} bytes",
                hint="use four or more random words",
            )
        salt = secrets.token_bytes(_SALT_BYTES)
        root = _stretch(passphrase, salt, _ARGON2_LEAST)
        content = canonical_json(
            {"v": 1, "salt": salt.hex(), "verifier": _verifier(root).hex(), **_ARGON2_LEAST}
        )
    _write_new(directory / VAULT_KEY, content, 0o400)
    return load_vault_key(directory, passphrase=passphrase)


def load_vault_key(directory: Path, *, passphrase: bytes | None = None) -> VaultKey:
    """Read ``vault.key``, with its passphrase if it has one.

    Raises Refused: ``key-missing``, ``key-exposed``, ``key-malformed``, ``passphrase-needed``,
    ``passphrase-wrong``.
    """
    path = directory / VAULT_KEY
    content = _read(path, private=True)
    if len(content) == KEY_BYTES:
        if passphrase is not None:
            raise Refused(
                "key-malformed", f"{path} has no passphrase", hint="leave the passphrase out"
            )
        return VaultKey(Secret(content))
    salt, verifier, cost = _parse_stretched(path, content)
    if passphrase is None:
        raise Refused("passphrase-needed", f"{path} needs a passphrase", hint="give the passphrase")
    root = _stretch(passphrase, salt, cost)
    if not hmac.compare_digest(_verifier(root), verifier):
        raise Refused(
            "passphrase-wrong", f"the passphrase is not that of {path}", hint="type it again"
        )
    return VaultKey(Secret(root))


def create_audit_key(directory: Path) -> Signer:
    """Make ``audit.key`` and ``audit.pub`` for a log with a new random name."""
    _own_directory(directory, create=True)
    signer = Signer(f"ringfence/audit/{secrets.token_hex(8)}", Ed25519PrivateKey.generate())
    _write_new(directory / AUDIT_KEY, signer.to_line().encode() + b"\n", 0o400)
    _write_new(directory / AUDIT_PUBLIC, signer.verifier.to_line().encode() + b"\n", 0o444)
    return signer


def load_audit_key(directory: Path) -> Signer:
    """Read ``audit.key``. Raises Refused."""
    path = directory / AUDIT_KEY
    try:
        return Signer.from_line(_line(path, private=True))
    except CheckpointError:
        raise _malformed(path) from None


def load_audit_public(directory: Path) -> Verifier:
    """Read ``audit.pub``. Raises Refused."""
    path = directory / AUDIT_PUBLIC
    try:
        return Verifier.from_line(_line(path, private=False))
    except CheckpointError:
        raise _malformed(path) from None


def _line(path: Path, *, private: bool) -> str:
    content = _read(path, private=private)
    if not content.endswith(b"\n") or not content.isascii():
        raise _malformed(path)
    return content[:-1].decode()


def _stretch(passphrase: bytes, salt: bytes, cost: dict[str, int]) -> bytes:
    return Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=cost["passes"],
        lanes=cost["lanes"],
        memory_cost=cost["kibibytes"],
    ).derive(passphrase)


def _verifier(root: bytes) -> bytes:
    info = b"ringfence/vault-key/1/verifier"
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)


def _parse_stretched(path: Path, content: bytes) -> tuple[bytes, bytes, dict[str, int]]:
    try:
        data = json.loads(content)
        if set(data) != {"v", "salt", "verifier", *_ARGON2_LEAST} or data["v"] != 1:
            raise _malformed(path)
        salt, verifier = bytes.fromhex(data["salt"]), bytes.fromhex(data["verifier"])
    except (ValueError, TypeError, RecursionError):
        raise _malformed(path) from None
    cost = {name: data[name] for name in _ARGON2_LEAST}
    if len(salt) != _SALT_BYTES or len(verifier) != 32:
        raise _malformed(path)
    for name, value in cost.items():
        if type(value) is not int or not _ARGON2_LEAST[name] <= value <= _ARGON2_MOST[name]:
            raise _malformed(path)
    return salt, verifier, cost


def _own_directory(directory: Path, *, create: bool) -> None:
    try:
        if create:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = os.lstat(directory)
    except OSError as error:
        raise Unavailable(
            "key-directory", f"{directory}: {error.strerror}", hint="give a directory of your own"
        ) from None
    where = shlex.quote(str(directory))
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise Refused(
            "key-exposed", f"{directory} is not a directory of this user", hint=f"move {where} away"
        )
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise Refused(
            "key-exposed", f"{directory} is open to other users", hint=f"chmod 700 {where}"
        )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError:
        raise Refused(
            "key-exists", f"{path} is already there", hint="keep it: what it opens needs it"
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # the umask may have taken bits away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError as error:
        # Half a key would be refused for ever; it never sealed anything.
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _read(path: Path, *, private: bool) -> bytes:
    _own_directory(path.parent, create=False)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    where = shlex.quote(str(path))
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise Refused(
            "key-missing", f"{path} is not there", hint="restore it from a backup"
        ) from None
    except OSError as error:
        raise Refused(
            "key-exposed",
            f"{path} cannot be opened as a plain file ({error.strerror})",
            hint=f"replace {where} by the file itself, mode 0400",
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
            raise Refused(
                "key-exposed",
                f"{path} is not a file of this user",
                hint=f"restore {where} from a backup as this user, mode 0400",
            )
        exposed = 0o077 if private else 0o022
        if stat.S_IMODE(facts.st_mode) & exposed or (private and facts.st_nlink != 1):
            fix = f"chmod {'400' if private else '444'} {where}"
            raise Refused(
                "key-exposed",
                f"{path} is open to other users or has a second name",
                hint=f"{fix}, remove other links to it, and replace the key if others read it",
            )
        content = file.read(MAX_FILE_BYTES + 1)
    if not content or len(content) > MAX_FILE_BYTES:
        raise _malformed(path)
    return content


def _malformed(path: Path) -> Refused:
    return Refused(
        "key-malformed",
        f"{path} is not a key file of this version",
        hint="restore it from a backup; a new key opens nothing that the old one sealed",
    )


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        "key-unwritable", f"{path}: {error.strerror}", hint="check the disk and the directory"
    )
