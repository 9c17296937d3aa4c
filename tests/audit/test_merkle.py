"""The tree against published values and against the recursive definition."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)

# The eight inputs and roots that Certificate Transparency implementations test with.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(data) for data in INPUTS]

leaves_of = st.integers(1, 70).map(lambda n: [leaf_hash(str(i).encode()) for i in range(n)])


def naive(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162 section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive(leaves[:k])]


def naive_subproof(old: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162 section 2.1.4.1."""
    if old == len(leaves):
        return [] if whole else [naive(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if old <= k:
        return [*naive_subproof(old, leaves[:k], whole=whole), naive(leaves[k:])]
    return [*naive_subproof(old - k, leaves[k:], whole=False), naive(leaves[:k])]


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    """The roots over one to eight inputs are the published ones."""
    assert root_hash(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_empty_tree() -> None:
    """The root of nothing is the hash of nothing."""
    assert Frontier().root() == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_published_proofs() -> None:
    """The example of RFC 9162 section 2.1.5: paths and proofs in a tree of seven leaves."""
    d = LEAVES[:7]
    g, h, i = node_hash(d[0], d[1]), node_hash(d[2], d[3]), node_hash(d[4], d[5])
    k, j = node_hash(g, h), d[6]
    right = node_hash(i, j)
    assert inclusion_proof(d, 0) == [d[1], h, right]
    assert inclusion_proof(d, 3) == [d[2], g, right]
    assert inclusion_proof(d, 4) == [d[5], j, k]
    assert inclusion_proof(d, 6) == [i, k]
    assert consistency_proof(d, 3) == [d[2], d[3], g, right]
    assert consistency_proof(d, 4) == [right]
    assert consistency_proof(d, 6) == [i, j, k]


@given(leaves_of, st.integers(0, 70))
def test_the_frontier_gives_the_root_of_the_definition(leaves: list[bytes], cut: int) -> None:
    """Appended at once or in two parts, through the stored form or not, the root is the same."""
    cut = min(cut, len(leaves))
    first = Frontier().extend(leaves[:cut])
    again = Frontier.from_bytes(first.to_bytes()).extend(leaves[cut:])
    assert again == Frontier().extend(leaves)
    assert again.root() == naive(leaves)
    assert len(again.nodes) == again.size.bit_count()


@given(leaves_of, st.data())
def test_inclusion_proofs(leaves: list[bytes], data: st.DataObject) -> None:
    """Every leaf has the proof of the definition; it holds for that leaf and place only."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(leaves, index)
    root, size = naive(leaves), len(leaves)
    assert proof == naive_path(index, leaves)
    assert verify_inclusion(leaves[index], index, size, proof, root)
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    assert not verify_inclusion(
        leaves[index], index, size, [*proof, proof[0] if proof else root], root
    )
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)
        spoiled = data.draw(st.integers(0, len(proof) - 1))
        bad = [*proof[:spoiled], bytes(32), *proof[spoiled + 1 :]]
        assert not verify_inclusion(leaves[index], index, size, bad, root)
    for other in range(size):
        if other != index:
            assert not verify_inclusion(leaves[index], other, size, proof, root)


@given(leaves_of, st.data())
def test_consistency_proofs(leaves: list[bytes], data: st.DataObject) -> None:
    """Every older size has the proof of the definition; it holds for those two roots only."""
    old, new = data.draw(st.integers(1, len(leaves))), len(leaves)
    proof = consistency_proof(leaves, old)
    before, after = naive(leaves[:old]), naive(leaves)
    assert proof == naive_subproof(old, leaves, whole=True)
    assert verify_consistency(old, new, before, after, proof)
    assert not verify_consistency(old, new, bytes(32), after, proof)
    assert not verify_consistency(old, new, before, bytes(32), proof)
    assert not verify_consistency(old, new, before, after, [*proof, bytes(32)])
    if proof:
        assert not verify_consistency(old, new, before, after, proof[:-1])
    forked = [*leaves[: old - 1], leaf_hash(b"forged"), *leaves[old:]]
    assert not verify_consistency(old, new, before, naive(forked), consistency_proof(forked, old))


@given(st.integers(-3, 80), st.integers(-3, 80), st.lists(st.binary(max_size=33), max_size=9))
def test_verifiers_answer_for_anything(old: int, new: int, proof: list[bytes]) -> None:
    """Random sizes and proofs are refused, never an exception, never a loop."""
    assert not verify_inclusion(bytes(32), old, new, proof, b"no root")
    assert not verify_consistency(old, new, bytes(32), b"no root", proof)


def test_a_proof_that_is_too_long_or_empty_is_refused() -> None:
    """Hashes past the root, or none where some are needed, prove nothing."""
    before, after = root_hash(LEAVES[:3]), root_hash(LEAVES[:7])
    proof = consistency_proof(LEAVES[:7], 3)
    assert verify_consistency(3, 7, before, after, proof)
    assert not verify_consistency(3, 7, before, after, [*proof, proof[0]])
    assert not verify_consistency(3, 7, before, after, [])
    assert not verify_inclusion(LEAVES[0], 0, 1, [LEAVES[1]], LEAVES[0])


def test_proofs_for_places_outside_are_refused() -> None:
    """There is no proof for a leaf or size the tree does not have."""
    for index in (-1, 8):
        with pytest.raises(ValueError, match="no such"):
            inclusion_proof(LEAVES, index)
    for size in (0, 9):
        with pytest.raises(ValueError, match="no such"):
            consistency_proof(LEAVES, size)


@pytest.mark.parametrize(
    "data", [b"", bytes(7), bytes(8) + bytes(32), (1).to_bytes(8, "big"), b"\xff" * 8 + bytes(2048)]
)
def test_a_stored_frontier_is_read_strictly(data: bytes) -> None:
    """Size and number of nodes must belong together."""
    with pytest.raises(ValueError, match="not a frontier"):
        Frontier.from_bytes(data)


def test_a_leaf_cannot_pass_as_a_node() -> None:
    """Without the domain bytes one crafted record has the root of two others; with them, not."""

    def plain_root(records: list[bytes]) -> bytes:
        hashes = [hashlib.sha256(record).digest() for record in records]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256(hashes[0] + hashes[1]).digest()

    two = [b"first", b"second"]
    crafted = b"".join(hashlib.sha256(record).digest() for record in two)
    assert plain_root([crafted]) == plain_root(two)
    crafted = b"".join(leaf_hash(record) for record in two)
    assert root_hash([leaf_hash(crafted)]) != root_hash([leaf_hash(record) for record in two])
