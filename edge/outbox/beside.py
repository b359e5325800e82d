"""What a stream's file keeps beside its blocks: losses, states, inventories, boots. Reading it, however damaged it is.

SQLite knows nothing of what a value means, so bytes that flipped on the disk may come back as a sound row. Each row
therefore has a checksum of our own (`sealed`). One that does not hold is left out and said; it never ends the box.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, Final, TypeVar

import msgspec
import structlog

from contract.kinds import Lane
from contract.records import ClockRecord, InventoryRecord, StateRecord
from edge.disk import DamagedError
from edge.outbox.chain import Chain, Loss, new_epoch
from edge.seams import BootTime

log = structlog.get_logger(__name__)
T = TypeVar("T")

BOOT_BYTES: Final = 16
MAX_INT: Final = 2**63 - 1
KEEP_BOOTS: Final = 64
KEEP_INVENTORIES: Final = 32
"""So many inventories are kept whatever names them: the cloud may ask for one."""
MAX_INVENTORIES: Final = 256
"""Above so many that pending blocks name, the oldest of those blocks go."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS chain (id INTEGER PRIMARY KEY CHECK (id = 0), sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    seq INTEGER PRIMARY KEY, items INTEGER NOT NULL, checksum BLOB NOT NULL, bytes BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS losses (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS states (
    device TEXT NOT NULL, point TEXT NOT NULL, boot BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (device, point)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inventories (
    rank INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, last_seq INTEGER, record BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS boots (rank INTEGER PRIMARY KEY, boot BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL);
"""
"""`last_seq` is the last row of blocks that may name an inventory; NULL of the one that counts now."""
_CHECKSUM_BYTES: Final = 8
_UNDECODABLE: Final = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)
"""What decoding makes of bytes that anything may have happened to; the last of those that are nested without end."""


def sealed(data: bytes, *of: bytes) -> bytes:
    """What a row says, behind a checksum of it and of what the row is of."""
    return _checksum(data, of) + data


def _checksum(data: bytes, of: tuple[bytes, ...]) -> bytes:
    return hashlib.blake2b(b"".join((*of, data)), digest_size=_CHECKSUM_BYTES).digest()


def _unsealed(decode: Callable[..., Any], row: object, model: type[T], what: str, *of: bytes) -> T | None:
    """A value of a row, or None where it is damaged, which is said."""
    data = row if isinstance(row, bytes) else b""
    if data[:_CHECKSUM_BYTES] != _checksum(data[_CHECKSUM_BYTES:], of):
        _say_damaged(what, "its checksum does not match")
        return None
    try:
        decoded: T = decode(data[_CHECKSUM_BYTES:], type=model)
    except _UNDECODABLE as e:
        _say_damaged(what, str(e))
        return None
    return decoded


def _say_damaged(what: str, problem: str) -> None:
    log.error("a row of the outbox is damaged and left out", row=what, problem=problem)


def check_tables(db: sqlite3.Connection) -> None:
    """Raises DamagedError where the tables are not those of SCHEMA, whose every name may have been hit."""
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(SCHEMA)
        expected = _columns(ours)
    if _columns(db) != expected:
        raise DamagedError("its tables are not those of this version")


def _columns(db: sqlite3.Connection) -> list[tuple[str, str]]:
    query = (
        "SELECT CAST(t.name AS BLOB), CAST(c.name AS BLOB) FROM sqlite_schema AS t, pragma_table_info(t.name) AS c"
        " WHERE t.type = 'table' ORDER BY t.name, c.cid"
    )
    return db.execute(query).fetchall()


def load_chain(db: sqlite3.Connection) -> Chain:
    """Where the stream stands; a new chain in a new file. Raises DamagedError where it and the blocks disagree."""
    row = db.execute("SELECT sealed FROM chain").fetchone()
    oldest, newest = db.execute("SELECT min(seq), max(seq) FROM blocks").fetchone()
    if row is None and oldest is None:
        return Chain(new_epoch())
    chain = _unsealed(msgspec.json.decode, row[0], Chain, "chain") if row else None
    if chain is None or len(chain.boot) not in {0, BOOT_BYTES}:
        raise DamagedError("it does not say where its chain stands")
    if (oldest, newest) != ((chain.tail_seq + 1, chain.head_seq) if chain.pending else (None, None)):
        raise DamagedError(f"blocks {oldest} to {newest} are not those from {chain.tail_seq + 1} to {chain.head_seq}")
    return chain


def keep_chain(db: sqlite3.Connection, chain: Chain) -> None:
    """Notes where the stream stands."""
    db.execute("INSERT OR REPLACE INTO chain VALUES (0, ?)", (sealed(msgspec.json.encode(chain)),))


def load_losses(db: sqlite3.Connection, stream: Lane) -> list[tuple[int, Loss]]:
    """Losses not yet declared, by their id. Of a damaged note only that there was a loss is known."""
    unknown = Loss(stream, 0, 0, 0, 0, 0, "the note of a loss was itself damaged on disk")
    return [
        (number, _unsealed(msgspec.json.decode, row, Loss, "loss") or unknown)
        for number, row in db.execute("SELECT id, sealed FROM losses ORDER BY id")
    ]


def keep_loss(db: sqlite3.Connection, loss: Loss) -> None:
    """Notes a loss that is to be declared."""
    db.execute("INSERT INTO losses (sealed) VALUES (?)", (sealed(msgspec.json.encode(loss)),))


def load_states(db: sqlite3.Connection, boot: bytes, now_ns: int) -> list[StateRecord]:
    """The last state of each series; one that is damaged is as if never seen, so it will be reported anew.

    Times of another boot mean nothing in this one and are 0, and so are those that did not come yet.
    """
    states = []
    for *key, of, row in db.execute("SELECT device, point, boot, sealed FROM states"):
        state = _unsealed(msgspec.msgpack.decode, row, StateRecord, "state", of if isinstance(of, bytes) else b"")
        if state is None:
            continue
        if key != [state.device.encode(), state.point.encode()]:  # it would stay for ever beside the one that is true
            _say_damaged("state", "it is kept under another name")
            continue
        known = of == boot and 0 <= state.mono_ns <= now_ns
        states.append(state if known else msgspec.structs.replace(state, mono_ns=0))
    return states


def keep_states(db: sqlite3.Connection, boot: bytes, states: Iterable[StateRecord]) -> None:
    """Notes the last state of each series among them."""
    db.executemany(
        "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)",
        [(state.device, state.point, boot, sealed(msgspec.msgpack.encode(state), boot)) for state in states],
    )


def load_inventory(db: sqlite3.Connection, inventory_id: int) -> InventoryRecord | None:
    """A kept inventory; None where it is not known, or no longer says what it is named after."""
    if not 0 <= inventory_id <= MAX_INT:
        return None
    row = db.execute("SELECT record FROM inventories WHERE id = ?", (inventory_id,)).fetchone()
    try:
        found = msgspec.msgpack.decode(row[0], type=InventoryRecord) if row else None
    except _UNDECODABLE as e:
        _say_damaged("inventory", str(e))
        return None
    return found if found is not None and found.inventory_id == inventory_id else None


def keep_inventory(db: sqlite3.Connection, inventory: InventoryRecord, chain: Chain) -> int | None:
    """Notes the inventory that blocks name from now on; those that no pending block can name go, but the newest few.

    Where there are too many all the same: the row up to which blocks must be given up for the oldest to go, else None.
    """
    db.execute("UPDATE inventories SET last_seq = ? WHERE last_seq IS NULL", (chain.head_seq,))
    db.execute(
        "INSERT OR REPLACE INTO inventories (id, last_seq, record) VALUES (?, NULL, ?)",
        (inventory.inventory_id, msgspec.msgpack.encode(inventory)),
    )
    db.execute(
        "DELETE FROM inventories WHERE last_seq <= ? AND rank <= (SELECT max(rank) FROM inventories) - ?",
        (chain.tail_seq, KEEP_INVENTORIES),
    )
    count, oldest = db.execute(
        "SELECT count(*), min(last_seq) FROM inventories WHERE last_seq > ?", (chain.tail_seq,)
    ).fetchone()
    return oldest if count >= MAX_INVENTORIES and isinstance(oldest, int) else None


def load_boots(db: sqlite3.Connection, boot: bytes) -> list[BootTime]:
    """The boots that are remembered, in their order; the last is always `boot`, this one."""
    boots = []
    for of, row in db.execute("SELECT boot, sealed FROM boots ORDER BY rank"):
        known = _load_boot(row)
        if known is not None and known.boot == of:
            boots.append(known)
    if not boots or boots[-1].boot != boot:
        boots = [*(known for known in boots if known.boot != boot), BootTime(boot, 0, None)]
    return boots


def _load_boot(row: object) -> BootTime | None:
    return _unsealed(msgspec.msgpack.decode, row, BootTime, "boot")


def keep_boot(db: sqlite3.Connection, boot: bytes, *, last_mono_ns: int = 0, clock: ClockRecord | None = None) -> None:
    """Notes a boot, or what is now known of it; the newest few are remembered. A clock of none of them is left out."""
    row = db.execute("SELECT sealed FROM boots WHERE boot = ?", (boot,)).fetchone()
    if row is None and clock is not None:
        return
    before = (_load_boot(row[0]) if row else None) or BootTime(boot, 0, None)
    known = BootTime(boot, max(last_mono_ns, before.last_mono_ns), clock or before.clock)
    note = sealed(msgspec.msgpack.encode(known))
    db.execute(
        "INSERT INTO boots (boot, sealed) VALUES (?, ?) ON CONFLICT (boot) DO UPDATE SET sealed = excluded.sealed",
        (boot, note),
    )
    db.execute("DELETE FROM boots WHERE rank <= (SELECT max(rank) FROM boots) - ?", (KEEP_BOOTS,))


def as_count(number: object) -> int:
    """A column of counts, summed by `total()`; 0 for what no count can be."""
    return int(number) if isinstance(number, int | float) and 0 <= number <= MAX_INT else 0
