"""A signing key and a small log in memory."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ringfence.audit.checkpoint import Checkpoint, Signer, sign
from ringfence.audit.merkle import Frontier, leaf_hash
from ringfence.audit.verify import Entry


@pytest.fixture(scope="session")
def signer() -> Signer:
    """The log's key; the same in every run."""
    return Signer("ringfence/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture(scope="session")
def make_log(
    signer: Signer,
) -> Callable[[list[bytes], list[int]], tuple[list[Entry], list[bytes]]]:
    """Make entries of these bytes with signed checkpoints at these sizes."""

    def make(data: list[bytes], sizes: list[int]) -> tuple[list[Entry], list[bytes]]:
        leaves = [leaf_hash(d) for d in data]
        entries = [
            Entry(position=n, data=d, leaf=leaf)
            for n, (d, leaf) in enumerate(zip(data, leaves, strict=True))
        ]
        notes = [
            sign(Checkpoint(signer.origin, n, Frontier().extend(leaves[:n]).root()), signer)
            for n in sizes
        ]
        return entries, notes

    return make
