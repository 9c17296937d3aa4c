"""The Merkle tree over audit records, as RFC 9162 section 2.1 (and RFC 6962 before it) defines it.

Invariants:
1. A leaf is ``SHA-256(0x00 || bytes)`` and a node ``SHA-256(0x01 || left || right)``, so neither
   can be passed off as the other.
2. A `Frontier` holds the roots of the full subtrees, one for each set bit of the size: enough to go
   on appending and to give the root, in 32 bytes times log2 of the size.
3. Every verifier consumes its whole proof; a proof that is too long is as wrong as one too short.

It does not sign (`ringfence.audit.checkpoint`) nor read records (``store``).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
MAX_SIZE: Final = 2**63


def leaf_hash(data: bytes) -> bytes:
    """Hash one record."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into one."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: its size and the roots of its full subtrees, largest first."""

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """Give the frontier after these leaf hashes: each O(log n) at worst, O(1) on average."""
        size, nodes = self.size, list(self.nodes)
        for leaf in leaves:
            node, rest = leaf, size
            while rest & 1:
                node = node_hash(nodes.pop(), node)
                rest >>= 1
            nodes.append(node)
            size += 1
        return Frontier(size, tuple(nodes))

    def root(self) -> bytes:
        """Give the root of the tree so far; of nothing, the hash of nothing."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root

    def to_bytes(self) -> bytes:
        """Give the stored form: size in 8 bytes, then the nodes."""
        return self.size.to_bytes(8, "big") + b"".join(self.nodes)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """Read the stored form. Raises ValueError when size and nodes cannot belong together."""
        size, rest = int.from_bytes(data[:8], "big"), data[8:]
        if len(data) < 8 or size >= MAX_SIZE or len(rest) != size.bit_count() * HASH_BYTES:
            raise ValueError("not a frontier")
        nodes = tuple(rest[i : i + HASH_BYTES] for i in range(0, len(rest), HASH_BYTES))
        return cls(size, nodes)


def root_hash(leaves: Sequence[bytes]) -> bytes:
    """Give the root over these leaf hashes."""
    return Frontier().extend(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Prove that the leaf at ``index`` is in the tree of all ``leaves`` (RFC 9162 section 2.1.3.1).

    Hashes every leaf's subtree once: O(n). Raises ValueError for an index outside.
    """
    if not 0 <= index < len(leaves):
        raise ValueError("no such leaf")
    proof: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(root_hash(leaves[middle:high]))
            high = middle
        else:
            proof.append(root_hash(leaves[low:middle]))
            low = middle
    proof.reverse()
    return proof


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Check an inclusion proof (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, value = index, size - 1, leaf
    for node in proof:
        if last == 0 or len(node) != HASH_BYTES:
            return False
        if position & 1 or position == last:
            value = node_hash(node, value)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            value = node_hash(value, node)
        position >>= 1
        last >>= 1
    return last == 0 and value == root


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Prove that the first ``old`` leaves are a prefix of ``leaves`` (RFC 9162 section 2.1.4.1).

    Raises ValueError for an old size outside 1..len(leaves).
    """
    if not 1 <= old <= len(leaves):
        raise ValueError("no such older tree")
    proof: list[bytes] = []
    low, high, whole = 0, len(leaves), True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(root_hash(leaves[middle:high]))
            high = middle
        else:
            proof.append(root_hash(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        proof.append(root_hash(leaves[low:high]))
    proof.reverse()
    return proof


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Check a consistency proof (RFC 9162 section 2.1.4.2). Sizes from 1."""
    if not 1 <= old <= new or any(len(node) != HASH_BYTES for node in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    older = newer = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older, newer = node_hash(node, older), node_hash(node, newer)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, node)
        position >>= 1
        last >>= 1
    return last == 0 and older == old_root and newer == new_root


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)
