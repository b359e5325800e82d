"""Records come back as they were, between any two versions of box and cloud."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tests.unit.contract.make_golden import INVENTORY, RECORDS

text = st.text(max_size=12)
times = st.integers(0, 2**63 - 1)
places = st.builds(Place, text, text, text, text)
devices = st.builds(DeviceEntry, text, text, text, text, text, places, st.lists(text, max_size=2).map(tuple))
series = st.builds(SeriesEntry, text, text, st.sampled_from(Lane), st.floats(0, 1e6))
arguments = st.dictionaries(text, st.one_of(text, st.booleans(), times, st.floats(allow_nan=False)), max_size=3)
lists = st.lists
records = st.one_of(
    st.builds(StateRecord, text, text, st.none() | text, st.sampled_from(Quality), times),
    st.builds(Event, text, text, arguments, times),
    st.builds(InventoryRecord, text, lists(devices, max_size=2).map(tuple), lists(series, max_size=2).map(tuple)),
    st.builds(ClockRecord, st.binary(min_size=16, max_size=16), times, times, times, text),
    st.builds(LossReceipt, st.sampled_from(Lane), times, times, times, times, times, text, times),
    st.builds(CommandResult, text, st.sampled_from(CommandStatus), text, times),
    st.builds(ConfigReport, text, text, times),
)


@given(st.lists(records, max_size=5))
def test_records_come_back_as_they_were(some: list[Record]) -> None:
    assert decode_records(encode_records(some)) == tuple(some)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{type(record).__name__}-{record}"[:40])
def test_fields_that_a_newer_box_adds_are_passed_over(record: Record) -> None:
    as_sent = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    body = msgspec.msgpack.encode([[*as_sent, "new", {"more": 1}]])
    assert decode_records(body) == (record,)


def test_so_are_those_within_a_record() -> None:
    tag, estate, entries, counted = msgspec.msgpack.decode(msgspec.msgpack.encode(INVENTORY))
    newer = [[*entry, "new"] for entry in entries]
    body = msgspec.msgpack.encode([[tag, estate, newer, [[*entry, 5] for entry in counted]]])
    assert decode_records(body) == (INVENTORY,)


def test_optional_fields_that_an_older_box_does_not_have_are_empty() -> None:
    tag, estate, (entry, *_), _ = msgspec.msgpack.decode(msgspec.msgpack.encode(INVENTORY))
    entry[5] = ["3", "2"]  # a place of building and unit only
    (record,) = decode_records(msgspec.msgpack.encode([[tag, estate, [entry], []]]))
    assert isinstance(record, InventoryRecord)
    assert record.devices[0].place == Place("3", "2", "", "")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_without_what_it_needs_is_refused(record: Record) -> None:
    as_sent = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    with pytest.raises(msgspec.ValidationError):
        decode_records(msgspec.msgpack.encode([as_sent[:-1]]))


@pytest.mark.parametrize(
    "body",
    [
        [["weather", "sunny"]],  # a tag nobody knows
        [[]],
        [["state", "d", "p", "v", 9, 0]],  # a quality there is not
        [["state", "d", "p", 5, 0, 0]],  # a state that is no word
        ["state"],
        {"state": 1},
    ],
    ids=str,
)
def test_what_is_no_record_is_refused(body: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_records(msgspec.msgpack.encode(body))


@given(st.binary(max_size=60))
def test_other_bytes_raise_nothing_but_decode_errors(body: bytes) -> None:
    try:
        decode_records(body)
    except msgspec.DecodeError:
        return
    assert body[:1] == b"\x90"  # an empty array is an empty list


def test_the_id_of_an_inventory_is_the_same_in_every_process() -> None:
    program = "from tests.unit.contract.make_golden import INVENTORY; print(INVENTORY.inventory_id)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(said) == INVENTORY.inventory_id == 1965809450234197267  # as golden blocks name it


def test_the_id_of_an_inventory_is_that_of_its_content() -> None:
    (sent,) = decode_records(encode_records([INVENTORY]))
    assert isinstance(sent, InventoryRecord)
    assert sent.inventory_id == INVENTORY.inventory_id
    assert 0 <= sent.inventory_id < 2**63
    turned = msgspec.structs.replace(INVENTORY, series=INVENTORY.series[::-1])  # positions count
    moved = msgspec.structs.replace(INVENTORY, estate="东苑")
    assert len({INVENTORY.inventory_id, turned.inventory_id, moved.inventory_id}) == 3
