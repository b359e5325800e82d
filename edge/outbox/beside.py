"""What a stream's file keeps beside its blocks: losses, states, inventories, boots. Reading it, however damaged it is.

SQLite knows nothing of what a value means, so bytes that flipped on the disk may come back as a sound row. Such a row
is left out and said; it never ends the box.
"""

import sqlite3
from collections.abc import Callable
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

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS chain (id INTEGER PRIMARY KEY CHECK (id = 0), json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    seq INTEGER PRIMARY KEY, items INTEGER NOT NULL, checksum BLOB NOT NULL, bytes BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS losses (id INTEGER PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS states (
    device TEXT NOT NULL, point TEXT NOT NULL, boot BLOB NOT NULL, record BLOB NOT NULL, PRIMARY KEY (device, point)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inventories (rank INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS boots (
    rank INTEGER PRIMARY KEY, boot BLOB NOT NULL UNIQUE, last_mono_ns INTEGER NOT NULL, clock BLOB
);
"""


def _decode(decode: Callable[..., Any], data: object, model: type[T], what: str) -> T | None:
    """A value of a row, or None where it is damaged, which is said."""
    try:
        decoded: T = decode(data, type=model)
    except (msgspec.MsgspecError, TypeError, ValueError) as e:
        log.error("a row of the outbox is damaged and left out", row=what, problem=str(e))  # noqa: TRY400  # no bug
        return None
    return decoded


def load_chain(db: sqlite3.Connection) -> Chain:
    """Where the stream stands; a new chain in a new file. Raises DamagedError where it and the blocks disagree."""
    row = db.execute("SELECT json FROM chain").fetchone()
    oldest, newest = db.execute("SELECT min(seq), max(seq) FROM blocks").fetchone()
    if row is None and oldest is None:
        return Chain(new_epoch())
    chain = _decode(msgspec.json.decode, row[0], Chain, "chain") if row else None
    if chain is None or len(chain.boot) not in {0, BOOT_BYTES}:
        raise DamagedError("it does not say where its chain stands")
    if (oldest, newest) != ((chain.tail_seq + 1, chain.head_seq) if chain.pending else (None, None)):
        raise DamagedError(f"blocks {oldest} to {newest} are not those from {chain.tail_seq + 1} to {chain.head_seq}")
    return chain


def load_losses(db: sqlite3.Connection, stream: Lane) -> list[tuple[int, Loss]]:
    """Losses not yet declared, by their id. Of a damaged note only that there was a loss is known."""
    unknown = Loss(stream, 0, 0, 0, 0, 0, "the note of a loss was itself damaged on disk")
    return [
        (number, _decode(msgspec.json.decode, text, Loss, "loss") or unknown)
        for number, text in db.execute("SELECT id, json FROM losses ORDER BY id")
    ]


def load_states(db: sqlite3.Connection, boot: bytes, now_ns: int) -> list[StateRecord]:
    """The last state of each series; one that is damaged is as if never seen, so it will be reported anew.

    Times of another boot mean nothing in this one and are 0, and so are those that did not come yet.
    """
    states = []
    for of, data in db.execute("SELECT boot, record FROM states"):
        state = _decode(msgspec.msgpack.decode, data, StateRecord, "state")
        if state is not None:
            known = of == boot and 0 <= state.mono_ns <= now_ns
            states.append(state if known else msgspec.structs.replace(state, mono_ns=0))
    return states


def load_inventory(db: sqlite3.Connection, inventory_id: int) -> InventoryRecord | None:
    """A kept inventory; None where it is not known, or no longer says what it is named after."""
    if not 0 <= inventory_id <= MAX_INT:
        return None
    row = db.execute("SELECT record FROM inventories WHERE id = ?", (inventory_id,)).fetchone()
    found = _decode(msgspec.msgpack.decode, row[0], InventoryRecord, "inventory") if row else None
    return found if found is not None and found.inventory_id == inventory_id else None


def load_boots(db: sqlite3.Connection, boot: bytes) -> list[BootTime]:
    """The boots that are remembered, in their order; the last is always `boot`, this one."""
    boots = []
    for of, last_ns, data in db.execute("SELECT boot, last_mono_ns, clock FROM boots ORDER BY rank"):
        if not isinstance(of, bytes) or len(of) != BOOT_BYTES:
            log.error("a row of the outbox is damaged and left out", row="boot")
            continue
        clock = _decode(msgspec.msgpack.decode, data, ClockRecord, "clock") if data is not None else None
        if clock is not None and not (
            clock.boot == of and _in_range(clock.mono_ns, clock.utc_ns, clock.uncertainty_ns)
        ):
            log.error("a row of the outbox is damaged and left out", row="clock")
            clock = None
        boots.append(BootTime(of, last_ns if _in_range(last_ns) else 0, clock))
    if not boots or boots[-1].boot != boot:
        boots = [*(known for known in boots if known.boot != boot), BootTime(boot, 0, None)]
    return boots


def _in_range(*numbers: object) -> bool:
    return all(isinstance(number, int) and 0 <= number <= MAX_INT for number in numbers)


def as_count(number: object) -> int:
    """A column of counts, summed by `total()`; 0 for what no count can be."""
    return int(number) if isinstance(number, int | float) and 0 <= number <= MAX_INT else 0
