"""The hardening of the vendor's engine, in force as soon as this module is imported.

Invariants:
1. No decoder but ours runs on a value from the journal. The vendor picks the decoder by the row's
   own ``serialization`` column, so configuring ours is not enough: one row that says ``py_pickle``
   would run code in every process that lists workflows (dbos-transact-py issue 485). Its pickle and
   plain-JSON formats raise from here on, in both directions.
2. A journal in which any row claims a format that is not ours is refused before anything reads it.
3. The journal is a regular file of our own user, 0600, WAL, its schema untrusted; whatever was
   committed before `flush` returned survives a power cut.
4. The vendor's switches in the environment and its log lines have no effect.

It cannot tell that rows were deleted or that a workflow was marked as not finished: who may write
the file can make a step run again.
"""

import logging
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import dbos._serialization as vendor_formats
import dbos._sys_db as vendor_database
import sqlalchemy as sa
from dbos import Serializer
from dbos._utils import GlobalParams

from ringfence.chain.errors import Refused, Unavailable
from ringfence.chain.words import Json
from ringfence.store.durable.sealing import Sealer

FORMAT = "ringfence_sealed_1"
PRAGMAS = {
    "busy_timeout": "30000",
    "foreign_keys": "ON",
    "journal_mode": "WAL",
    # NORMAL leaves it to `flush` which commits have to survive a power cut: FULL would flush all of
    # them, four times as many (ADR 0051).
    "synchronous": "NORMAL",
    "trusted_schema": "OFF",
    "cell_size_check": "ON",
}
_HAS_INPUTS = sa.text("SELECT 1 FROM sqlite_master WHERE name = 'workflow_input'")
_ONE_INPUT = sa.text("SELECT inputs FROM workflow_input WHERE inputs IS NOT NULL LIMIT 1")


class WorkflowFailed(Exception):  # noqa: N818 - states what the journal says, nothing went wrong here
    """The journalled error of a workflow or vendor call: the name and text of the exception."""


class SealedSerializer(Serializer):
    """The one format of the journal."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def name(self) -> str:
        """Give the word rows of ours carry."""
        return FORMAT

    def serialize(self, data: object) -> str:
        """Seal a value, a workflow's arguments or an exception; nothing else is JSON."""
        body: Any = {"value": data}
        if isinstance(data, Exception):
            body = {"error": [type(data).__name__, str(data)[:1_000]]}
        elif isinstance(data, dict) and isinstance(data.get("args"), tuple):
            body = {"args": list(data["args"])}
        return self._sealer.seal(body)

    def deserialize(cls, serialized_data: str) -> object:  # noqa: N805 - the vendor's parameter name
        """Open what `serialize` sealed. Raises Refused for anything else."""
        match cls._sealer.open(serialized_data):
            case {"value": value}:
                return value
            case {"args": list(args)}:
                return {"args": tuple(args), "kwargs": {}}
            case {"error": [str(kind), str(text)]}:
                return WorkflowFailed(f"{kind}: {text}")
        return _refuse_format()


def _refuse_format(*_: object) -> NoReturn:
    raise Refused(
        "journal-foreign",
        "a row of the engine's journal is not in the sealed format",
        hint="another program wrote to engine.sqlite; restore it from a backup or remove it",
    )


class _NoPickle:
    """Stands where the vendor's module expects the pickle module."""

    loads = dumps = staticmethod(_refuse_format)


def _harden() -> None:
    for kind in (vendor_formats.DefaultSerializer, vendor_formats.DBOSPortableJSONSerializer):
        for method in ("serialize", "deserialize"):
            setattr(kind, method, _refuse_format)
    vars(vendor_formats)["pickle"] = _NoPickle()
    GlobalParams.dbos_cloud = False
    logger = logging.getLogger("dbos")
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = False


_harden()


def use(serializer: SealedSerializer) -> None:
    """Make the vendor's database layer write its wake-up times in our format too."""
    vars(vendor_database)["DBOSPortableJSON"] = serializer


def open_journal(path: Path) -> sa.Engine:
    """Open (or make) the journal's file. Raises Unavailable for a file that is not ours alone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("journal-unreadable", f"cannot open {path}: {error.strerror}") from error
    with os.fdopen(fd) as file:
        facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise Unavailable(
            "journal-exposed",
            f"{path} is not a private file of this user",
            hint=f"chown and chmod 600 {path}, or remove it",
        )
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")

    return engine


def flush(path: Path) -> None:
    """Return when all that was committed so far is on the disk. Raises OSError when it is not.

    Opening and closing the write-ahead log is safe: SQLite keeps its advisory locks, which any
    close in the process would drop, on the two other files.
    """
    try:
        fd = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return  # written back and removed, which flushes it
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def refuse_foreign_rows(engine: sa.Engine, serializer: SealedSerializer) -> None:
    """Raise Refused when a row claims a format that is not ours, or the key is not this journal's.

    With a wrong key the vendor would mark every run it takes up as failed, for good.
    """
    tables = sa.text(
        "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND c.name = 'serialization'"
    )
    try:
        with engine.connect() as connection:
            for (table,) in connection.execute(tables).all():
                column: sa.ColumnClause[str] = sa.column("serialization")
                foreign = sa.select(sa.literal(1)).select_from(sa.table(table, column))
                if connection.execute(foreign.where(column != FORMAT).limit(1)).first():
                    _refuse_format()
            if connection.execute(_HAS_INPUTS).first():
                for (text,) in connection.execute(_ONE_INPUT):
                    serializer.deserialize(text)
    except sa.exc.DatabaseError as error:
        raise Refused(
            "journal-unreadable",
            "the engine's journal is not a database",
            hint="restore engine.sqlite from a backup or remove it",
        ) from error


def sealed_json(serializer: SealedSerializer, text: str | None) -> Json:
    """Open a value read by our own query; None stays None. Raises Refused for foreign bytes."""
    value: Any = None if text is None else serializer.deserialize(text)
    return f"{value}" if isinstance(value, WorkflowFailed) else value
