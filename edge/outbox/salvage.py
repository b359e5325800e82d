"""What can still be read of a damaged file: blocks are whole or not, each by its own checksum, wherever the damage is.

States are not saved: a state whose block is lost must be reported anew.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contract.block import Header, split_block
from contract.errors import BlockError
from contract.kinds import Lane
from contract.records import InventoryRecord
from edge.disk import connect, damage_said
from edge.outbox.beside import load_boots, load_inventory
from edge.seams import BootTime

log = structlog.get_logger(__name__)

MOST_BYTES: Final = 32 << 20
"""So much of blocks is saved, the newest first."""
Sound = tuple[Header, bytes]


class Salvage(msgspec.Struct, frozen=True):
    """What was saved, in its order: blocks with their headers, and what is kept beside them."""

    blocks: list[Sound] = []
    boots: list[BootTime] = []
    inventories: list[InventoryRecord] = []


def salvage(path: Path, stream: Lane) -> Salvage:
    """What a damaged file still holds; nothing where it cannot be opened at all. Raises nothing."""
    saved = Salvage()
    try:
        if not path.exists():  # SQLite would make it
            return saved
        with damage_said(), closing(connect(path)) as db:
            db.text_factory = bytes
            saved.blocks.extend(_in_order(_blocks(db, stream)))
            with suppress(sqlite3.Error):
                saved.boots.extend(load_boots(db, b"")[:-1])
            with suppress(sqlite3.Error):
                named = {header.inventory for header, _ in saved.blocks} - {0}
                kept = (load_inventory(db, inventory) for inventory in named)
                saved.inventories.extend(inventory for inventory in kept if inventory is not None)
    except (sqlite3.Error, OSError) as e:
        log.info("no more can be read of the damaged file", file=path.name, problem=str(e))
    return saved


def _blocks(db: sqlite3.Connection, stream: Lane) -> dict[int, Sound]:
    """Sound blocks by their row, from both sides up to the damage."""
    found: dict[int, Sound] = {}
    size = 0
    for direction in ("DESC", "ASC"):
        with suppress(sqlite3.Error):
            for seq, data in db.execute(f"SELECT seq, CAST(bytes AS BLOB) FROM blocks ORDER BY seq {direction}"):  # noqa: S608
                if seq in found or size > MOST_BYTES:
                    break
                with suppress(BlockError):
                    header = split_block(data or b"")[0]
                    if header.stream is stream:
                        found[seq] = header, data
                        size += len(data)
    return found


def _in_order(found: dict[int, Sound]) -> Iterable[Sound]:
    """Blocks as they were sealed: by boot, as the boots come in the file, and within one by their time."""
    boots: dict[bytes, dict[int, Sound]] = {}
    for _, (header, data) in sorted(found.items()):
        boots.setdefault(header.boot, {})[header.sealed_ns] = header, data
    for blocks in boots.values():
        yield from (block for _, block in sorted(blocks.items()))
