"""Which commands this box has seen and what became of them: one small SQLite file, every change on disk at once."""

import sqlite3
from pathlib import Path
from typing import Final

import structlog

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


class Ledger:
    """The file of commands. Call from one thread only. Raises sqlite3.Error where the disk fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection

    def open(self) -> list[tuple[str, Outcome]]:
        """Opens the file (a damaged one is moved aside); returns the answers that are still to be told.

        What was begun and has no answer was cut off by a restart.
        """
        try:
            return self._open()
        except sqlite3.DatabaseError as e:
            if not is_damaged(e):
                raise
            if hasattr(self, "_db"):
                self._db.close()
            aside = move_aside(self._path)
            log.exception("the file of commands was damaged and moved aside", file=str(self._path), moved_to=aside.name)
            return self._open()

    def _open(self) -> list[tuple[str, Outcome]]:
        self._db = connect(self._path)
        self._db.execute(_SCHEMA)
        self._db.execute(
            "UPDATE commands SET status = ?, reason = ? WHERE status IS NULL", (RESTARTED.status, RESTARTED.reason)
        )
        rows = self._db.execute("SELECT id, status, reason FROM commands WHERE told = 0").fetchall()
        return [(number, Outcome(CommandStatus(status), reason)) for number, status, reason in rows]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def begin(self, command: Command) -> bool:
        """Enters a command before it is done; False when its id was seen before."""
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO commands (id, not_after_ns) VALUES (?, ?)",
            # What does not fit a column of SQLite is so far off that it comes to the same.
            (command.id, max(-(2**63), min(command.not_after_ns, 2**63 - 1))),
        )
        return cursor.rowcount == 1

    def finish(self, command_id: str, outcome: Outcome) -> None:
        """Keeps what became of a command, before anyone is told."""
        self._db.execute(
            "UPDATE commands SET status = ?, reason = ? WHERE id = ?", (outcome.status, outcome.reason, command_id)
        )

    def told(self, command_id: str) -> None:
        """The answer is on the urgent stream."""
        self._db.execute("UPDATE commands SET told = 1 WHERE id = ?", (command_id,))

    def prune(self, utc_ns: int) -> None:
        """Forgets ids that are a day past their not-after."""
        self._db.execute("DELETE FROM commands WHERE told = 1 AND not_after_ns < ?", (utc_ns - KEEP_NS,))
