"""What simulated boxes seal is what a cloud takes."""

import random

from contract.block import decode_block
from contract.clock import mono_ns
from contract.columns import decode_columns
from contract.records import ClockRecord, InventoryRecord, StateRecord, decode_records
from simulators.load.estate import Estate, inventory


def test_both_streams_are_chains_of_sound_blocks() -> None:
    shared = inventory(3)
    estate = Estate(shared, shared.inventory_id, random.Random(1))
    estate.introduce(shared, 1_700_000_000 * 10**9)
    for _ in range(4):
        estate.event()
        estate.measure(7)
    for chain in (estate.urgent, estate.bulk):
        blocks = [decode_block(raw) for raw in chain.pending]
        assert [block.header.number for block in blocks] == list(range(1, len(blocks) + 1))
        assert [block.header.previous for block in blocks] == [0, *(block.checksum for block in blocks[:-1])]
        sealed = [block.header.sealed_ns for block in blocks]
        assert sealed == sorted(set(sealed))
    said = [record for raw in estate.urgent.pending for record in decode_records(decode_block(raw).body)]
    assert [type(record) for record in said[:2]] == [InventoryRecord, ClockRecord]
    states = [record for record in said if isinstance(record, StateRecord)]
    assert [state.value for state in states] == ["smoke", "clear"] * 2
    assert [a.device for a in states[::2]] == [b.device for b in states[1::2]]


def test_what_was_measured_lies_between_two_blocks() -> None:
    shared = inventory(3)
    began = mono_ns()
    estate = Estate(shared, shared.inventory_id, random.Random(1))
    estate.measure(7)
    block = decode_block(estate.bulk.pending[0])
    rows = decode_columns(block.body, block.header.items, block.header.base_ns)
    assert len(rows) == 7
    assert {shared.series[row.series].point for row in rows} == {"temperature"}
    assert all(began // 10**6 <= row.mono_ns // 10**6 + 1 and row.mono_ns <= mono_ns() for row in rows)
