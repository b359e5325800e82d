"""What the database could not keep is found before it gets there."""

import msgspec
import pytest

from cloud.ingest.checks import problem_of
from contract.kinds import Lane
from contract.messages import CommandResult, CommandStatus, Event, Quality
from contract.records import ClockRecord, ConfigReport, LossReceipt, Record, StateRecord
from tests.unit.contract.make_golden import BOOT, INVENTORY, RECORDS

DEVICE, SERIES = INVENTORY.devices[0], INVENTORY.series[0]


def inventory(**changes: object) -> Record:
    return msgspec.structs.replace(INVENTORY, **changes)


def of_device(**changes: object) -> Record:
    return inventory(devices=(msgspec.structs.replace(DEVICE, **changes),), series=())


def of_series(**changes: object) -> Record:
    return inventory(series=(msgspec.structs.replace(SERIES, **changes),))


BAD = [
    (StateRecord("d", "p", "\x00", Quality.GOOD, 0), "NUL"),
    (StateRecord("d", "p", "x" * 10_001, Quality.GOOD, 0), "10001 characters"),
    (StateRecord("d", "p", "v", Quality.GOOD, 2**63), "beyond 64 bits"),
    (Event("d", "p", {"\x00": 1}, 0), "NUL"),
    (Event("d", "p", {"k": "a\x00"}, 0), "NUL"),
    (CommandResult("id", CommandStatus.FAILED, "\x00", 0), "NUL"),
    (ConfigReport("\x00", "", 0), "NUL"),
    (ClockRecord(BOOT, 0, 2**63, 0, ""), "beyond 64 bits"),
    (ClockRecord(BOOT, -1, 0, 0, ""), "clock"),
    (ClockRecord(b"short", 0, 0, 0, ""), "clock"),
    (LossReceipt(Lane.BULK, 1, 5, 4, 0, 0, "", 0), "loss from 5 to 4"),
    (LossReceipt(Lane.BULK, 1, 0, 4, 0, 0, "", 0), "loss from 0 to 4"),
    (LossReceipt(Lane.BULK, 1, 1, 4, 2**64 - 1, 0, "", 0), "beyond 64 bits"),
    (LossReceipt(Lane.BULK, 1, 1, 4, 0, 2**63 - 1, "", 0), "loss of 9223372036854775807 items"),
    (LossReceipt(Lane.BULK, 0, 0, 0, 0, -1, "", 0), "loss of -1 items"),
    (inventory(devices=(DEVICE, DEVICE), series=()), "twice"),
    (inventory(series=(SERIES, SERIES)), "twice"),
    (inventory(devices=()), "does not name"),
    (of_device(name="\x00"), "NUL"),
    (of_device(id="x" * 201), "more than 200"),
    (of_device(commands=("un lock",)), "space"),
    (of_series(stale_after_s=0.0), "stale"),
    (of_series(stale_after_s=float("nan")), "stale"),
    (of_series(stale_after_s=float("inf")), "stale"),
    (of_series(stale_after_s=1e39), "stale"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_boxes_send_can_be_kept(record: Record) -> None:
    assert problem_of(record) is None


@pytest.mark.parametrize(("record", "said"), BAD, ids=lambda value: getattr(type(value), "__name__", value))
def test_what_cannot_be_kept_is_found(record: Record, said: str) -> None:
    problem = problem_of(record)
    assert problem is not None
    assert said in problem
