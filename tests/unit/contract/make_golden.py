"""Makes the golden blocks of contract/golden, once: `python -m tests.unit.contract.make_golden`.

A golden block must decode for ever, so a file that is there is not made anew. A new version of the layout adds files.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from contract.block import Block, Header, encode_block
from contract.columns import Row, decode_columns, encode_columns
from contract.kinds import Lane
from contract.messages import CommandResult, CommandStatus, Event, Quality
from contract.records import (
    ClockRecord,
    ConfigReport,
    DeviceEntry,
    InventoryRecord,
    LossReceipt,
    Place,
    Record,
    SeriesEntry,
    StateRecord,
    decode_records,
    encode_records,
)

FOLDER = Path(__file__).parents[3] / "contract" / "golden"
BOOT = bytes.fromhex("00112233445566778899aabbccddeeff")
SECOND = 1_000_000_000
START = 3600 * SECOND
EPOCH = 0x0123_4567_89AB_CDEF

INVENTORY = InventoryRecord(
    "西苑小区",
    (
        DeviceEntry("smoke-3-2-07", "3号楼2单元7层烟感", "smoke_detector", "anju-smoke-panel-16", "panel-west",
                    Place("3", "2", "7", "走廊"), ()),
        DeviceEntry("door-3-2", "3号楼2单元门", "door", "anju-door-unit", "doors", Place("3", "2", "1", "入口"),
                    ("unlock",)),
    ),
    (
        SeriesEntry("door-3-2", "link", Lane.URGENT, 750.0),
        SeriesEntry("smoke-3-2-07", "link", Lane.URGENT, 750.0),
        SeriesEntry("smoke-3-2-07", "smoke", Lane.URGENT, 750.0),
        SeriesEntry("smoke-3-2-07", "temperature", Lane.BULK, 750.0),
    ),
)  # fmt: skip

RECORDS: tuple[Record, ...] = (
    INVENTORY,
    ClockRecord(BOOT, START, 1_767_225_600 * SECOND, 1_000_000, "ntp"),
    StateRecord("smoke-3-2-07", "smoke", "smoke", Quality.GOOD, START + SECOND),
    StateRecord("smoke-3-2-07", "link", None, Quality.UNKNOWN, START + 2 * SECOND),
    Event(
        "door-3-2", "access", {"credential": "9f8e7d", "granted": True, "reader": 2, "level": 0.5}, START + 3 * SECOND
    ),
    CommandResult("6f1c9a0e-3c0b-4d7e-9a3e-1f2d3c4b5a69", CommandStatus.EXECUTED, "", START + 4 * SECOND),
    LossReceipt(Lane.BULK, EPOCH, 5, 9, 2**62 + 1, 1234, "the disk was full", START + 5 * SECOND),
    ConfigReport("0.1.0", "0123456789ab", START + 6 * SECOND),
)

ROWS = [
    Row(3, START, 21.5, Quality.GOOD),
    Row(3, START + SECOND, -40.0, Quality.STALE),
    Row(3, START + 2 * SECOND, float("nan"), Quality.FAULT),
    Row(0, START + 50 * SECOND, float("inf"), Quality.UNKNOWN),
    Row(4, START + 2 * SECOND, 21.625, Quality.GOOD),
    Row(4, START + SECOND, -0.0, Quality.GOOD),
    Row(7, START + SECOND // 2, 230.0, Quality.GOOD),
    Row(7, START + 10 * SECOND, -229.9, Quality.GOOD),
    Row(7, START + 20 * SECOND, 0.1 + 0.2, Quality.GOOD),
    Row(9, START + 10 * SECOND, 48_211.07, Quality.GOOD),
    Row(9, START + 20 * SECOND, 48_211.1, Quality.GOOD),
    Row(70_000, START, 1200.0, Quality.GOOD),
    Row(70_000, START + 4_000_000 * SECOND, 1100.0, Quality.GOOD),
]


def header(stream: Lane, **changes: object) -> Header:
    urgent = Header(stream, EPOCH, 42, 2**63 - 2, BOOT, 0, 0, START + 7 * SECOND, len(RECORDS))
    return msgspec.structs.replace(urgent, **changes)


def golden_blocks() -> dict[str, bytes]:
    """Each golden block by name, as this version seals it."""
    bulk = header(Lane.BULK, number=1, previous=0, inventory=INVENTORY.inventory_id, base_ns=START, items=len(ROWS))
    return {
        "v1-urgent": encode_block(header(Lane.URGENT), encode_records(RECORDS)),
        "v1-bulk": encode_block(bulk, encode_columns(ROWS, START)),
    }


def described(block: Block) -> bytes:
    """A block as JSON for people: its header and all that is in it."""
    if block.header.stream is Lane.URGENT:
        items: list[Any] = [
            {"record": type(record).__name__} | fields(record)
            for record in decode_records(block.body)
        ]  # fmt: skip
    else:
        items = [fields(row) | {"value": str(row.value)} for row in
                 decode_columns(block.body, block.header.items, block.header.base_ns)]  # fmt: skip
    described = {"header": fields(block.header), "checksum": block.checksum, "items": items}
    return msgspec.json.format(msgspec.json.encode(described, enc_hook=str), indent=2) + b"\n"


def fields(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields by name, also below one that travels as an array; bytes as hex."""

    def plain(value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            return fields(value)
        if isinstance(value, tuple):
            return [plain(part) for part in value]
        return value.hex() if isinstance(value, bytes) else value

    return {name: plain(value) for name, value in msgspec.structs.asdict(struct).items()}


def main() -> None:
    from contract.block import decode_block

    FOLDER.mkdir(exist_ok=True)
    for name, data in golden_blocks().items():
        path = FOLDER / f"{name}.block"
        if path.exists():
            sys.stderr.write(f"{path.name} is there and stays\n")
            continue
        path.write_bytes(data)
        path.with_suffix(".json").write_bytes(described(decode_block(data)))


if __name__ == "__main__":
    main()
