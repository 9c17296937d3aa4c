r"""The signed head of the log: a C2SP tlog-checkpoint inside a C2SP signed note, Ed25519.

The note, byte for byte (the last line holds base64 of key hash and signature)::

    <origin>\n<size>\n<base64 root>\n
    \n
    — <origin> <base64>\n

Invariants:
1. What is signed is exactly the first three lines with their line ends.
2. Reading is strict: one spelling for every number and every base64, no extension lines, bounded.
3. A note is ours only if our own line verifies; other names' lines (witnesses) are allowed, ignored
   and never enough.

It does not say where a checkpoint must be kept. One kept only beside the log shows a change of
records, not a return of the whole file to an older state.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringfence.audit.merkle import HASH_BYTES, MAX_SIZE
from ringfence.chain.errors import InputError

MAX_NOTE_BYTES: Final = 16 * 1024
MAX_SIGNATURES: Final = 16
_ED25519: Final = b"\x01"
_NAME: Final = re.compile(r"[!-*,-~]{1,200}")  # visible ASCII but "+", which the key format needs
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointError(InputError):
    """A checkpoint is not what it claims to be; ``code`` says whether in form or in signature."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A size and the root over that many records, for one named log."""

    origin: str
    size: int
    root: bytes

    def body(self) -> bytes:
        """Give the signed text. Raises ValueError for a field the format cannot say."""
        if _NAME.fullmatch(self.origin) is None:
            raise ValueError("an origin is 1 to 200 visible ASCII characters without +")
        if not 0 <= self.size < MAX_SIZE or len(self.root) != HASH_BYTES:
            raise ValueError("a checkpoint has a size from 0 and a root of 32 bytes")
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public half: the log's name and its Ed25519 key."""

    origin: str
    public_key: Ed25519PublicKey

    def key_hash(self) -> bytes:
        """Give the 4-byte key hash that signature lines carry."""
        return _key_hash(self.origin, self.public_key.public_bytes_raw())

    def to_line(self) -> str:
        """Give the verifier key as ``<origin>+<hash>+<base64>``, the form other tools read."""
        raw = self.public_key.public_bytes_raw()
        return f"{self.origin}+{self.key_hash().hex()}+{_b64(_ED25519 + raw)}"

    @classmethod
    def from_line(cls, line: str) -> "Verifier":
        """Read a verifier key. Raises CheckpointError."""
        name, digest, key = _key_parts(line.split("+", 2))
        public = Ed25519PublicKey.from_public_bytes(key)
        if digest != _key_hash(name, key).hex():
            raise _malformed("the verifier key's hash is not that of its name and key")
        return cls(name, public)


@dataclass(frozen=True, slots=True)
class Signer:
    """The private half. Its repr shows the name only."""

    origin: str
    private_key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.origin, self.private_key.public_key())

    def __repr__(self) -> str:
        return f"Signer({self.origin!r})"

    def to_line(self) -> str:
        """Give ``PRIVATE+KEY+<origin>+<hash>+<base64>``, the private key for its file only."""
        digest = self.verifier.key_hash().hex()
        seed = _b64(_ED25519 + self.private_key.private_bytes_raw())
        return f"PRIVATE+KEY+{self.origin}+{digest}+{seed}"

    @classmethod
    def from_line(cls, line: str) -> "Signer":
        """Read a private key. Raises CheckpointError, which never quotes the line."""
        parts = line.split("+", 4)
        if parts[:2] != ["PRIVATE", "KEY"]:
            raise _malformed("not a signing key")
        name, digest, seed = _key_parts(parts[2:])
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(seed))
        if digest != signer.verifier.key_hash().hex():
            raise _malformed("the signing key's hash is not that of its name and key")
        return signer


def sign(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Give the signed note. Raises ValueError for another log's checkpoint."""
    if checkpoint.origin != signer.origin:
        raise ValueError("a log signs its own checkpoints only")
    body = checkpoint.body()
    signature = signer.verifier.key_hash() + signer.private_key.sign(body)
    return body + f"\n— {signer.origin} {_b64(signature)}\n".encode()


def parse_and_verify(note: bytes, verifier: Verifier) -> Checkpoint:
    """Read a signed note and check our signature on it.

    Raises CheckpointError: ``checkpoint-malformed`` or ``checkpoint-forged``.
    """
    if len(note) > MAX_NOTE_BYTES:
        raise _malformed("longer than 16 KiB")
    try:
        text = note.decode()
    except UnicodeDecodeError:
        raise _malformed("not UTF-8") from None
    body, gap, tail = text.partition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise _malformed("no signature block")
    checkpoint = _parse_body(body)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed("more than 16 signatures")
    ours = [sig for name, sig in map(_parse_signature, lines) if name == verifier.origin]
    if checkpoint.origin != verifier.origin:
        raise _forged("it names another log")
    mine = [sig[4:] for sig in ours if sig[:4] == verifier.key_hash()]
    if len(mine) != 1:
        raise _forged("it is not signed once by this log's key")
    try:
        verifier.public_key.verify(mine[0], checkpoint.body())
    except InvalidSignature:
        raise _forged("the signature is not over this text") from None
    return checkpoint


def _parse_body(body: str) -> Checkpoint:
    lines = body.split("\n")
    if len(lines) != 3:
        raise _malformed("a body has three lines")
    origin, size, root = lines
    if _NAME.fullmatch(origin) is None:
        raise _malformed("the origin")
    if _SIZE.fullmatch(size) is None or int(size) >= MAX_SIZE:
        raise _malformed("the size")
    return Checkpoint(origin, int(size), _unb64(root, HASH_BYTES))


def _parse_signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or _NAME.fullmatch(parts[1]) is None:
        raise _malformed("a signature line")
    signature = _unb64(parts[2], None)
    if len(signature) <= 4:
        raise _malformed("a signature line")
    return parts[1], signature


def _key_parts(parts: list[str]) -> tuple[str, str, bytes]:
    if len(parts) != 3 or _NAME.fullmatch(parts[0]) is None:
        raise _malformed("a key line")
    key = _unb64(parts[2], 33)
    if key[:1] != _ED25519:
        raise _malformed("not an Ed25519 key")
    return parts[0], parts[1], key[1:]


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str, length: int | None) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("base64") from None
    # b64decode forgives stray bits in the last character; one value has one spelling here.
    if _b64(data) != text or (length is not None and len(data) != length):
        raise _malformed("base64")
    return data


def _malformed(what: str) -> CheckpointError:
    return CheckpointError(
        "checkpoint-malformed",
        f"not a checkpoint or key of an audit log: {what}",
        hint="give the file exactly as it was written",
    )


def _forged(what: str) -> CheckpointError:
    return CheckpointError(
        "checkpoint-forged",
        f"this log's key did not sign that checkpoint: {what}",
        hint="compare audit.pub with the copy kept elsewhere",
    )
