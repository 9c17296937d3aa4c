"""Reading a chain the way every command does: parse, then the checks a bad chain must not pass."""

from collections.abc import Mapping

from ringfence.chain.document import read, scalars
from ringfence.chain.errors import InputError, Position
from ringfence.chain.parse import ChainRejected, parse
from ringfence.chain.words import Agent, AgentType, Chain
from ringfence.checks.config.secret_in_chain import check
from ringfence.checks.gate import check_names
from ringfence.checks.output.json_schema import check_schema


def load(data: bytes, *, file: str, variables: Mapping[str, str]) -> Chain:
    """Parse chain bytes and refuse secrets, unknown checks and unusable schemas in them.

    Raises ChainRejected with every error found.
    """
    chain = parse(data, file=file, variables=variables)
    document = read(data, file=file)
    errors = [
        InputError(
            finding.check,
            finding.message,
            hint="a chain file is read by many; the vault is not",
            where=finding.where if isinstance(finding.where, Position) else None,
        )
        for finding in check((s.path, s.value, s.position) for s in scalars(document))
    ]
    for agent in chain.agents:
        errors += _unusable(agent)
        try:
            check_names(agent.checks)
            if agent.output_schema is not None:
                check_schema(agent.output_schema)
        except InputError as error:
            errors.append(InputError(error.code, error.message, hint=error.hint, where=agent.where))
    if errors:
        raise ChainRejected(tuple(errors))
    return chain


def _unusable(agent: Agent) -> list[InputError]:
    """Name what an agent asks for and nothing here would act on."""
    errors = []
    if agent.model is not None:
        errors.append(
            InputError(
                "not-enforced",
                f"agent {agent.name!r} names a model, and nothing here calls a model by itself",
                hint="remove model; set it in the client's own configuration",
                where=agent.where,
            )
        )
    if agent.checks and agent.type is not AgentType.GATE and agent.output is None:
        errors.append(
            InputError(
                "nothing-to-check",
                f"agent {agent.name!r} names checks but has no output",
                hint="add an output, or remove checks",
                where=agent.where,
            )
        )
    return errors
