"""Which commands this box has seen and what became of them: one small SQLite file, every change on disk at once."""

import sqlite3
from pathlib import Path
from typing import Any, Final

import structlog

from contract.errors import AnjuError
from contract.messages import Command, CommandStatus, Outcome
from edge.disk import connect, is_damaged, move_aside

log = structlog.get_logger(__name__)

KEEP_NS: Final = 24 * 3600 * 1_000_000_000
"""How long after its not-after an id is remembered; later it is too late for it anyway."""
RESTARTED = Outcome(CommandStatus.SENT_NOT_CONFIRMED, "the box restarted while it was being done")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY, not_after_ns INTEGER NOT NULL, status TEXT, reason TEXT NOT NULL DEFAULT '',
    told INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""


class LedgerError(AnjuError):
    """The file of commands cannot be read or written now; nothing may be done that it does not know of."""


class Ledger:
    """The file of commands. Call from one thread only. Raises LedgerError where the disk fails.

    A damaged file is moved aside, at start or later, and what is under way entered into the new one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._under_way: dict[str, int] = {}
        """Ids begun in this run and not yet told, with their not-after."""

    @property
    def is_open(self) -> bool:
        """Whether the file is in use; it is not where it could not be opened."""
        return self._db is not None

    def open(self) -> list[tuple[str, Outcome]]:
        """Opens the file; returns the answers that are still to be told.

        What was begun and has no answer was cut off by a restart.
        """
        self._run(
            "UPDATE commands SET status = ?, reason = ? WHERE status IS NULL", (RESTARTED.status, RESTARTED.reason)
        )
        rows = self._run("SELECT id, status, reason FROM commands WHERE told = 0").fetchall()
        return [(number, Outcome(CommandStatus(status), reason)) for number, status, reason in rows]

    def close(self) -> None:
        """Closes the file; harmless when it is not open."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def begin(self, command: Command) -> bool:
        """Enters a command before it is done; False when its id was seen before."""
        # What does not fit a column of SQLite is so far off that it comes to the same.
        not_after_ns = max(-(2**63), min(command.not_after_ns, 2**63 - 1))
        sql = "INSERT OR IGNORE INTO commands (id, not_after_ns) VALUES (?, ?)"
        is_new = self._run(sql, (command.id, not_after_ns)).rowcount == 1
        if is_new:
            self._under_way[command.id] = not_after_ns
        return is_new

    def finish(self, command_id: str, outcome: Outcome) -> None:
        """Keeps what became of a command, before anyone is told."""
        self._run("UPDATE commands SET status = ?, reason = ? WHERE id = ?",
                  (outcome.status, outcome.reason, command_id))  # fmt: skip

    def outcome(self, command_id: str) -> Outcome | None:
        """What became of a command that was seen before; None where that was not kept."""
        row = self._run("SELECT status, reason FROM commands WHERE id = ?", (command_id,)).fetchone()
        return Outcome(CommandStatus(row[0]), row[1]) if row and row[0] else None

    def told(self, command_id: str) -> None:
        """The answer is on the urgent stream."""
        self._run("UPDATE commands SET told = 1 WHERE id = ?", (command_id,))
        self._under_way.pop(command_id, None)

    def prune(self, utc_ns: int) -> None:
        """Forgets ids that are a day past their not-after."""
        self._run("DELETE FROM commands WHERE told = 1 AND not_after_ns < ?", (utc_ns - KEEP_NS,))

    def _run(self, sql: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """One statement on disk, on the file that there is, or on a new one in place of a damaged one."""
        try:
            try:
                return self._connected().execute(sql, values)
            except sqlite3.DatabaseError as e:
                if not is_damaged(e):
                    raise
                self.close()
                aside = move_aside(self._path)
                log.exception(
                    "the file of commands was damaged and moved aside", file=str(self._path), moved_to=aside.name
                )
                return self._connected().execute(sql, values)
        except (sqlite3.Error, OSError) as e:
            raise LedgerError(f"this box cannot use its file of commands {self._path}: {e}") from e

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            db = connect(self._path)
            try:
                db.execute(_SCHEMA)
                rows = self._under_way.items()
                db.executemany("INSERT OR IGNORE INTO commands (id, not_after_ns) VALUES (?, ?)", rows)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db
