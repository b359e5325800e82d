"""The newest readings of a box: whatever comes, in whatever order, they are those a plain look would find."""

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.bulk import check, decode
from cloud.ingest.chain import read_block
from cloud.store.copy import array_of, newest_row
from cloud.store.group import Inventory
from cloud.store.newest import NONE, Newest
from cloud.store.streams import Boot
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Quality
from tests.support.blocks import BOOT, SECOND, Chain

SERIES = 6
rows = st.lists(
    st.builds(
        Row,
        st.integers(0, SERIES - 1),
        st.integers(0, 20).map(lambda s: (1000 + s) * SECOND),
        st.one_of(st.integers(-9, 9).map(float), st.sampled_from([float("nan"), float("inf")])),
        st.sampled_from(Quality),
    ),
    max_size=8,
)  # fmt: skip
orders = st.permutations(range(11, 11 + SERIES)).map(
    lambda ids: Inventory(np.array(ids, np.int32), np.zeros(0, np.int32))
)


def ours(blocks: list[list[Row]], inventory: Inventory, begun: Newest) -> Newest:
    chain = Chain(Lane.BULK, inventory_id=5)
    sealed = [read_block(chain.bulk(sorted(block, key=lambda row: row.series))) for block in blocks]
    boots = {BOOT: Boot(BOOT, 0, 0, 0)}
    now = datetime.fromtimestamp(5000, UTC)
    checked = check(UUID(int=1), tuple((block, decode(block)) for block in sealed), boots, {5: inventory}, now)
    assert checked.bad == ()
    assert checked.readings == sum(map(len, blocks))
    for _, brought in checked.newest:
        begun, _ = begun.moved_by(brought)
    return begun


def said(newest: Newest) -> dict[int, tuple[int, float | None, int]]:
    columns = (newest.series, newest.at_us, newest.value, newest.quality)
    return {s: (at, None if v != v else v, q) for s, at, v, q in zip(*(c.tolist() for c in columns), strict=True)}


@given(st.lists(st.lists(rows, min_size=1, max_size=4), max_size=3), orders)
def test_the_newest_are_those_that_a_plain_look_finds(requests: list[list[list[Row]]], inventory: Inventory) -> None:
    newest, wanted = NONE, {}
    for blocks in requests:
        newest = ours(blocks, inventory, newest)
        for block in blocks:
            for row in sorted(block, key=lambda row: (row.series, row.mono_ns)):
                series, at = int(inventory.series[row.series]), row.mono_ns // 1000
                finite = np.isfinite(row.value)
                quality = Quality.FAULT if row.quality == Quality.GOOD and not finite else row.quality
                if at >= wanted.get(series, (0,))[0]:
                    wanted[series] = (at, row.value if finite else None, int(quality))
    assert said(newest) == wanted
    assert (np.diff(newest.series) > 0).all()


@given(rows.filter(bool), orders)
def test_a_row_for_the_database_holds_what_it_was_made_of(block: list[Row], inventory: Inventory) -> None:
    newest = ours([block], inventory, NONE)
    row = newest_row(UUID(int=7), newest.series, newest.at_us, newest.value, newest.quality)
    at, fields = 2, []
    while at < len(row):
        size = int.from_bytes(row[at : at + 4], "big")
        fields.append(row[at + 4 : at + 4 + size])
        at += 4 + size
    gateway, *arrays = fields
    assert gateway == UUID(int=7).bytes
    columns = [array_of(sent, dtype) for sent, dtype in zip(arrays, (">i4", ">i8", ">f8", ">i2"), strict=True)]
    np.testing.assert_array_equal(columns[0], newest.series)
    np.testing.assert_array_equal(columns[1] + 946_684_800_000_000, newest.at_us)
    np.testing.assert_array_equal(columns[2], newest.value)
    np.testing.assert_array_equal(columns[3], newest.quality)
