"""What a record must be so that the database can keep it. Pure.

A record that the database refuses would fail its whole request, again and again, and hold up its stream for ever; so it
is found here and set aside.
"""

import math
from collections.abc import Collection, Iterator

import msgspec

from contract.records import ClockRecord, InventoryRecord, LossReceipt, Record

_MOST_TEXT = 10_000
_MOST_NAME = 200
"""Names are looked up by indexes, which take no more than some 2,700 bytes."""
_MOST_SECONDS = 1e9
MOST_DEVICES, MOST_SERIES = 5_000, 20_000
"""Of a box, those that it had before included: all of them are read for each of its requests, and never go."""
_BIGINT = 2**63
_MOST_ITEMS = 10**12
"""Of a loss: no box has had so many, and what pages add up must fit 64 bits."""


def problem_of(record: Record) -> str | None:
    """Why a record cannot be kept, in a few words; None for one that can."""
    if isinstance(record, InventoryRecord) and (problem := _problem_of_size(record)):
        return problem
    for part in _leaves(record):
        if isinstance(part, str) and "\x00" in part:
            return "text with a NUL character"
        if isinstance(part, str) and len(part) > _MOST_TEXT:
            return f"text of {len(part)} characters"
        if isinstance(part, int) and not -_BIGINT <= part < _BIGINT:
            return f"the number {part}, beyond 64 bits"
    if isinstance(record, InventoryRecord):
        return _problem_of_inventory(record)
    if isinstance(record, ClockRecord) and (len(record.boot) != 16 or min(record.mono_ns, record.utc_ns) < 0):
        return "a clock before its time, or of no boot"
    unnumbered = isinstance(record, LossReceipt) and record.epoch == record.first == record.last == 0
    if isinstance(record, LossReceipt) and not unnumbered and not 1 <= record.first <= record.last:
        return f"a loss from {record.first} to {record.last}"
    if isinstance(record, LossReceipt) and not 0 <= record.items <= _MOST_ITEMS:
        return f"a loss of {record.items} items"
    return None


def _problem_of_size(record: InventoryRecord) -> str | None:
    devices, series = len(record.devices), len(record.series)
    if devices > MOST_DEVICES or series > MOST_SERIES:
        return f"an inventory of {devices} devices with {series} series: divide them among boxes"
    return None


def problem_with_known(record: Record, devices: Collection[str], series: Collection[tuple[str, str]]) -> str | None:
    """Why an inventory cannot be kept beside the devices and series that the box has named before."""
    if not isinstance(record, InventoryRecord):
        return None
    all_devices = len({*devices, *(device.id for device in record.devices)})
    all_series = len({*series, *((one.device, one.point) for one in record.series)})
    if all_devices > MOST_DEVICES or all_series > MOST_SERIES:
        return (
            f"an inventory with which the box has named {all_devices} devices with {all_series} series by now:"
            " enrol it anew"
        )
    return None


def _problem_of_inventory(record: InventoryRecord) -> str | None:
    devices = {device.id for device in record.devices}
    pairs = {(series.device, series.point) for series in record.series}
    if len(devices) < len(record.devices) or len(pairs) < len(record.series):
        return "an inventory that names a device or series twice"
    if not {device for device, _ in pairs} <= devices:
        return "an inventory with series of a device that it does not name"
    if any(isinstance(part, str) and len(part) > _MOST_NAME for part in _leaves(record)):
        return f"an inventory with a name of more than {_MOST_NAME} characters"
    if any(" " in command for device in record.devices for command in device.commands):
        return "an inventory with a space in a command's name"
    if not all(math.isfinite(s.stale_after_s) and 0 < s.stale_after_s <= _MOST_SECONDS for s in record.series):
        return "an inventory with a series that is stale at once or never"
    return None


def _leaves(node: object) -> Iterator[object]:
    """Everything that a record holds, down to text and numbers."""
    if isinstance(node, msgspec.Struct):
        for name in node.__struct_fields__:
            yield from _leaves(getattr(node, name))
    elif isinstance(node, tuple | list):
        for part in node:
            yield from _leaves(part)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from (key, value)
    else:
        yield node
