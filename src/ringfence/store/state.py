"""Runs, their steps and their reviews in ``state.sqlite``.

Invariants:
1. A review leaves `pending` once: the answer is a compare-and-set on its status.
2. A step's box mark is stored as soon as the box exists, so that an orphan can be found; a box
   whose mark was lost dies with its supervisor all the same.
3. What is read back is parsed strictly; a row that is not ours is an `Unavailable`, not a guess.
"""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ringfence.chain.canonical import canonical_json
from ringfence.chain.errors import InputError, Unavailable
from ringfence.chain.words import Json
from ringfence.control.reviews import Review, ReviewKind, ReviewStatus
from ringfence.control.runs import RunRow, RunStatus
from ringfence.store.sqlite import connect

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY, chain TEXT NOT NULL, digest TEXT NOT NULL, file TEXT NOT NULL,
  starter TEXT NOT NULL, status TEXT NOT NULL, created TEXT NOT NULL, finished TEXT,
  reason TEXT, variables TEXT NOT NULL, settings TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS steps (
  run TEXT NOT NULL, agent TEXT NOT NULL, attempt INTEGER NOT NULL, mark TEXT NOT NULL,
  PRIMARY KEY (run, agent, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reviews (
  id TEXT PRIMARY KEY, run TEXT NOT NULL, agent TEXT NOT NULL, kind TEXT NOT NULL,
  title TEXT NOT NULL, subject TEXT NOT NULL, requested_by TEXT NOT NULL, created TEXT NOT NULL,
  expires TEXT NOT NULL, status TEXT NOT NULL, decided_by TEXT, decided TEXT, reason TEXT,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS reviews_run ON reviews (run, status);
CREATE TABLE IF NOT EXISTS inbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, message TEXT NOT NULL
) STRICT;
"""


_ID_START = re.compile(r"[a-z0-9-]{3,64}")


def _text(value: Mapping[str, Json]) -> str:
    return canonical_json(dict(value)).decode()


def _prefix(given: str) -> str | None:
    """Give the pattern for ids that begin like this; none for what is too short to mean one."""
    return f"{given}%" if _ID_START.fullmatch(given) else None


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


class StateStore:
    """The state database. One instance belongs to one thread."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path, durable=True)
        self._db.row_factory = sqlite3.Row
        with self._guard():
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, KeyError) as error:
            raise Unavailable(
                "state-unavailable",
                f"the state database failed: {error}",
                hint="check that the data directory is writable and not full",
            ) from error

    def add_run(self, row: RunRow) -> None:
        """Store a new run."""
        with self._guard():
            self._db.execute(
                "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (
                    row.id,
                    row.chain,
                    row.digest,
                    row.file,
                    row.starter,
                    row.status.value,
                    row.created.isoformat(),
                    None,
                    None,
                    _text(dict(row.variables)),
                    _text(row.settings),
                ),
            )

    def set_status(
        self, run: str, status: RunStatus, *, reason: str | None = None, now: datetime
    ) -> None:
        """Move a run to another status; ended ones get their end time."""
        finished = now.isoformat() if status.ended else None
        with self._guard():
            self._db.execute(
                "UPDATE runs SET status=?, reason=?, finished=? WHERE id=?",
                (status.value, reason, finished, run),
            )

    def run(self, run: str) -> RunRow:
        """Give one run. A unique prefix of its id is enough. Raises InputError if unknown."""
        with self._guard():
            rows = self._db.execute(
                "SELECT * FROM runs WHERE id = ? OR id LIKE ? LIMIT 2", (run, _prefix(run))
            ).fetchall()
            if len(rows) == 1:
                return self._run(rows[0])
        message = "no run" if not rows else "more than one run"
        raise InputError("unknown-run", f"{message} matches {run!r}", hint="ringfence runs list")

    def runs(self, *, limit: int = 50) -> list[RunRow]:
        """Give the newest runs first."""
        with self._guard():
            rows = self._db.execute(
                "SELECT * FROM runs ORDER BY created DESC LIMIT ?", (limit,)
            ).fetchall()
            return [self._run(r) for r in rows]

    @staticmethod
    def _run(row: sqlite3.Row) -> RunRow:
        return RunRow(
            id=row["id"],
            chain=row["chain"],
            digest=row["digest"],
            file=row["file"],
            starter=row["starter"],
            status=RunStatus(row["status"]),
            created=datetime.fromisoformat(row["created"]),
            finished=_time(row["finished"]),
            reason=row["reason"],
            variables=json.loads(row["variables"]),
            settings=json.loads(row["settings"]),
        )

    def mark_step(self, run: str, agent: str, attempt: int, mark: str) -> None:
        """Remember by which mark the step's box can be found after a crash."""
        with self._guard():
            self._db.execute(
                "INSERT OR REPLACE INTO steps VALUES (?,?,?,?)", (run, agent, attempt, mark)
            )

    def step_mark(self, run: str, agent: str, attempt: int) -> str | None:
        """Give the mark of a step's last box, if one was started."""
        with self._guard():
            row = self._db.execute(
                "SELECT mark FROM steps WHERE run=? AND agent=? AND attempt=?",
                (run, agent, attempt),
            ).fetchone()
        return str(row["mark"]) if row else None

    def last_attempt(self, run: str, agent: str) -> int | None:
        """Give the number of an agent's last attempt in a run; None before the first."""
        with self._guard():
            row = self._db.execute(
                "SELECT max(attempt) AS last FROM steps WHERE run=? AND agent=?", (run, agent)
            ).fetchone()
        return None if row["last"] is None else int(row["last"])

    def post(self, run: str, message: Mapping[str, Json]) -> None:
        """Leave a message for whoever runs this run, now or after a restart."""
        with self._guard():
            self._db.execute("INSERT INTO inbox (run, message) VALUES (?,?)", (run, _text(message)))

    def inbox(self, run: str, *, after: int) -> list[tuple[int, dict[str, Json]]]:
        """Give the messages of a run behind sequence number ``after``, oldest first."""
        with self._guard():
            rows = self._db.execute(
                "SELECT seq, message FROM inbox WHERE run=? AND seq>? ORDER BY seq LIMIT 1000",
                (run, after),
            ).fetchall()
            return [(row["seq"], json.loads(row["message"])) for row in rows]

    def add_review(self, review: Review) -> bool:
        """Store a question; False when it was already stored (a resumed step asks again)."""
        with self._guard():
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO reviews VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    review.id,
                    review.run,
                    review.agent,
                    review.kind.value,
                    review.title,
                    _text(review.subject),
                    review.requested_by,
                    review.created.isoformat(),
                    review.expires.isoformat(),
                    review.status.value,
                    None,
                    None,
                    None,
                    _text(review.detail),
                ),
            )
        return bool(cursor.rowcount == 1)

    def answer(
        self, review: str, status: ReviewStatus, *, actor: str, reason: str, now: datetime
    ) -> bool:
        """Answer a pending review; False when somebody else was first."""
        with self._guard():
            cursor = self._db.execute(
                "UPDATE reviews SET status=?, decided_by=?, decided=?, reason=?"
                " WHERE id=? AND status='pending'",
                (status.value, actor, now.isoformat(), reason, review),
            )
        return bool(cursor.rowcount == 1)

    def review(self, review: str) -> Review:
        """Give one review by id or unique prefix. Raises InputError if unknown."""
        with self._guard():
            rows = self._db.execute(
                "SELECT * FROM reviews WHERE id = ? OR id LIKE ? LIMIT 2", (review, _prefix(review))
            ).fetchall()
            if len(rows) == 1:
                return self._review(rows[0])
        message = "no review" if not rows else "more than one review"
        raise InputError(
            "unknown-review", f"{message} matches {review!r}", hint="ringfence review list"
        )

    def reviews(self, *, run: str | None = None, pending: bool = False) -> list[Review]:
        """Give reviews, oldest first, of one run or all, pending only or all."""
        query = "SELECT * FROM reviews WHERE (? IS NULL OR run = ?)"
        if pending:
            query += " AND status = 'pending'"
        with self._guard():
            rows = self._db.execute(query + " ORDER BY created, id LIMIT 1000", (run, run))
            return [self._review(r) for r in rows]

    @staticmethod
    def _review(row: sqlite3.Row) -> Review:
        return Review(
            id=row["id"],
            run=row["run"],
            agent=row["agent"],
            kind=ReviewKind(row["kind"]),
            title=row["title"],
            subject=json.loads(row["subject"]),
            requested_by=row["requested_by"],
            created=datetime.fromisoformat(row["created"]),
            expires=datetime.fromisoformat(row["expires"]),
            status=ReviewStatus(row["status"]),
            decided_by=row["decided_by"],
            decided=_time(row["decided"]),
            reason=row["reason"],
            detail=json.loads(row["detail"]),
        )
