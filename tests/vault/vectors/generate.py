"""Make ``envelope.json``: sealed blobs by a second, independent construction.

Nothing of Ringfence is imported. HKDF is written out over ``hmac``, GCM over single AES blocks with
its own GHASH; both are checked against published values before anything is written. Run from the
top of the checkout: ``.venv/bin/python tests/vault/vectors/generate.py``.
"""

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TARGET = Path(__file__).with_name("envelope.json")
POLYNOMIAL = 0xE1 << 120


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 of RFC 5869, extract then expand."""
    secret = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    block, out = b"", b""
    counter = 1
    while len(out) < length:
        block = hmac.new(secret, block + info + bytes((counter,)), hashlib.sha256).digest()
        out += block
        counter += 1
    return out[:length]


def aes(key: bytes, block: bytes) -> bytes:
    """One AES block."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return cipher.update(block) + cipher.finalize()


def multiply(x: int, y: int) -> int:
    """Multiply in GF(2^128) with GCM's bit order (SP 800-38D section 6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = (y >> 1) ^ (POLYNOMIAL if y & 1 else 0)
    return product


def power(x: int, exponent: int) -> int:
    """Raise in the same field; the identity is the top bit."""
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = multiply(result, x)
        x = multiply(x, x)
        exponent >>= 1
    return result


def inverse(x: int) -> int:
    """Invert by Fermat."""
    return power(x, 2**128 - 2)


def blocks(data: bytes) -> list[int]:
    """Cut into 16-byte integers, the last one padded with zeros."""
    return [
        int.from_bytes(data[i : i + 16].ljust(16, b"\0"), "big") for i in range(0, len(data), 16)
    ]


def ghash_input(aad: bytes, ciphertext: bytes) -> list[int]:
    """Give the blocks GHASH runs over."""
    return [*blocks(aad), *blocks(ciphertext), (len(aad) * 8) << 64 | len(ciphertext) * 8]


def tag(key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    """Give the GCM tag."""
    h = int.from_bytes(aes(key, bytes(16)), "big")
    value = 0
    for block in ghash_input(aad, ciphertext):
        value = multiply(value ^ block, h)
    mask = int.from_bytes(aes(key, nonce + b"\0\0\0\1"), "big")
    return (value ^ mask).to_bytes(16, "big")


def gcm(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """Give ciphertext and tag."""
    out = bytearray()
    for index in range(0, len(plaintext), 16):
        stream = aes(key, nonce + (2 + index // 16).to_bytes(4, "big"))
        out += bytes(a ^ b for a, b in zip(plaintext[index : index + 16], stream, strict=False))
    return bytes(out) + tag(key, nonce, aad, bytes(out))


def two_key_ciphertext(one: bytes, two: bytes, nonce: bytes, aad: bytes) -> bytes:
    """Give ct || tag that plain AES-GCM accepts under both keys ("invisible salamander").

    Both tags are affine in one free ciphertext block; solve for the block that makes them equal.
    """
    first = b"\x55" * 16
    terms: list[tuple[int, int]] = []
    for key in (one, two):
        h = int.from_bytes(aes(key, bytes(16)), "big")
        fixed = tag(key, nonce, aad, first + bytes(16))
        # The free block is the last but one that GHASH reads: it is multiplied by h^2.
        terms.append((int.from_bytes(fixed, "big"), power(h, 2)))
    (tag_one, weight_one), (tag_two, weight_two) = terms
    free = multiply(tag_one ^ tag_two, inverse(weight_one ^ weight_two))
    ciphertext = first + free.to_bytes(16, "big")
    made = tag(one, nonce, aad, ciphertext)
    assert made == tag(two, nonce, aad, ciphertext)
    return ciphertext + made


def check_published_values() -> None:
    """Check our parts against RFC 5869 appendix A.1 and the GCM specification's test case 16."""
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    sealed = gcm(
        bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2),
        bytes.fromhex("cafebabefacedbaddecaf888"),
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        bytes.fromhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ),
    )
    assert sealed.hex() == (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )


CONTEXT = {
    "purpose": "value", "org": "local", "secret_id": "5f0c", "name": "github/token", "version": 3,
}  # fmt: skip
KEK = bytes(range(8))
DEK = bytes(range(16, 32))
MATERIAL = bytes(range(32, 64))
NONCE = bytes(range(64, 76))
PLAINTEXT = b"a value that is not a real credential"


def associated(context: dict[str, object], kek: bytes, dek: bytes) -> bytes:
    """Spell the associated data by the layout in docs/rooms/vault.md."""
    out = b""
    version = context["version"]
    assert isinstance(version, int)
    texts = [str(context[name]).encode() for name in ("purpose", "org", "secret_id", "name")]
    for field in (b"RFSE\x01", b"\x01", *texts, version.to_bytes(8, "big"), kek, dek):
        out += len(field).to_bytes(4, "big") + field
    return out


def envelope(
    plaintext: bytes,
    *,
    material: bytes = MATERIAL,
    context: dict[str, object] = CONTEXT,
    commit_to: bytes | None = None,
) -> bytes:
    """Build a blob; ``commit_to`` puts another key's commitment into the header."""
    info = b"ringfence/envelope/1/"
    commitment = hkdf(commit_to or material, b"", info + b"commit", 32)
    sealed = gcm(
        hkdf(material, b"", info + b"encrypt", 32), NONCE, associated(context, KEK, DEK), plaintext
    )
    return b"RFSE\x01\x01" + KEK + DEK + commitment + NONCE + sealed


def vector(comment: str, result: str, blob: bytes, **changes: object) -> dict[str, object]:
    """Give one vector; ``changes`` replace what the opener is told."""
    told: dict[str, object] = {
        "kek_id": KEK.hex(), "dek_id": DEK.hex(), "material": MATERIAL.hex(), "context": CONTEXT,
        **changes,
    }  # fmt: skip
    return {"comment": comment, "result": result, "blob": blob.hex(), **told}


FIELDS = {
    "magic": (0, 4, "malformed"),
    "format": (4, 5, "malformed"),
    "algorithm": (5, 6, "malformed"),
    "kek id": (6, 14, "wrong-key"),
    "dek id": (14, 30, "wrong-key"),
    "commitment": (30, 62, "wrong-key"),
    "nonce": (62, 74, "tampered"),
    "ciphertext": (74, 74 + len(PLAINTEXT), "tampered"),
    "tag": (74 + len(PLAINTEXT), 90 + len(PLAINTEXT), "tampered"),
}


def vectors() -> list[dict[str, object]]:
    """Give all vectors, each with the class of its result."""
    good = envelope(PLAINTEXT)
    out: list[dict[str, object]] = []
    for text in (b"", b"x", b"0123456789abcdef", PLAINTEXT, bytes(range(256))):
        blob = envelope(text)
        out.append(vector(f"{len(text)} bytes", "valid", blob) | {"plaintext": text.hex()})
    for name, (start, end, result) in FIELDS.items():
        for position, mask in ((start, 0x80), (end - 1, 0x01)):
            flipped = bytearray(good)
            flipped[position] ^= mask
            out.append(vector(f"bit flipped in {name}", result, bytes(flipped)))
    for length in (0, 1, 6, 30, 62, 74, 89, 90, len(good) - 1):
        result = "malformed" if length < 90 else "tampered"
        cut = vector(f"cut to {length} bytes", result, good[:length])
        out.append(cut)
    out.append(vector("one byte too many", "tampered", good + b"\0"))
    others: tuple[dict[str, object], ...] = (
        {"purpose": "key"}, {"org": "other"}, {"secret_id": "5f0d"}, {"name": "github/other"},
        {"version": 2}, {"version": 4}, {"org": "5f0c", "secret_id": "local"},
        {"org": "local5", "secret_id": "f0c"}, {"secret_id": "5f0cgithub/", "name": "token"},
        {"org": "", "secret_id": "local5f0c"},
    )  # fmt: skip
    for change in others:
        told = CONTEXT | change
        out.append(vector(f"opened as {change}", "tampered", good, context=told))
    out.append(vector("wrong kek id told", "wrong-key", good, kek_id=bytes(8).hex()))
    out.append(vector("wrong dek id told", "wrong-key", good, dek_id=bytes(16).hex()))
    out.append(vector("wrong key material", "wrong-key", good, material=bytes(32).hex()))
    swapped = envelope(PLAINTEXT, material=bytes(32), commit_to=MATERIAL)
    out.append(vector("right commitment, other key's ciphertext", "tampered", swapped))
    next_format = b"RFSE\x02" + good[5:]
    out.append(vector("a later format", "malformed", next_format))
    out.append(vector("another algorithm", "malformed", good[:5] + b"\x02" + good[6:]))
    return out


def document() -> str:
    """Give the file's text."""
    check_published_values()
    return json.dumps({"format": 1, "vectors": vectors()}, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())
