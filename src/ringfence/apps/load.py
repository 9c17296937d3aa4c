"""Reading a chain the way every command does: parse, then the checks a bad chain must not pass."""

from collections.abc import Mapping

from ringfence.chain.document import read_document, scalars
from ringfence.chain.errors import InputError
from ringfence.chain.parse import ChainRejected, parse
from ringfence.chain.words import Chain
from ringfence.checks.config.secret_in_chain import check


def load(data: bytes, *, file: str, variables: Mapping[str, str]) -> Chain:
    """Parse chain bytes and refuse secrets written into them.

    Raises ChainRejected with every error found.
    """
    chain = parse(data, file=file, variables=variables)
    found = check((s.path, s.value, s.position) for s in scalars(read_document(data, file=file)))
    if found:
        raise ChainRejected(
            [InputError(f.check, f.message, hint=f.hint, where=f.where) for f in found]
        )
    return chain
