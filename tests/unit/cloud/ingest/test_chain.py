"""Whatever a box sends in whatever order, the blocks that are taken form one chain, each of them once."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.chain import BLOCK_BYTES, MAX_TAKEN_BYTES, READING_BYTES, RECORD_BYTES, Incoming, read_block, walk
from contract.block import MAX_ITEMS, Header, checksum_bytes, encode_block
from contract.errors import BlockError
from contract.kinds import Lane
from contract.session import NO_CURSOR, Cursor, RefusalReason
from tests.unit.contract.test_block import claiming

LENGTH = 5


def block(epoch: int, number: int, previous: int, checksum: int) -> Incoming:
    header = Header(Lane.BULK, epoch, number, previous, bytes(16), 1, 0, number, 0)
    return Incoming(b"", header, checksum, 0)


def chain(epoch: int, *, salt: int = 0, start: int = 1, previous: int = 0) -> list[Incoming]:
    """An honest chain; `salt` makes another history of it."""
    blocks = []
    for number in range(start, LENGTH + 1):
        checksum = epoch * 1000 + salt * 100 + number
        blocks.append(block(epoch, number, previous, checksum))
        previous = checksum
    return blocks


FIRST, SECOND, THIRD = chain(1), chain(2), chain(3)
FORKED = chain(1, salt=1)  # another history of the first epoch from the beginning
TORN = chain(1, salt=2, start=3, previous=FIRST[1].checksum)  # and one from its third block on
ODD = [block(4, 1, 77, 4001), block(4, 2, 0, 4002), block(5, 3, 0, 5003)]  # beginnings that are none
UNIVERSE = [*FIRST, *SECOND, *THIRD, *FORKED, *TORN, *ODD]


@dataclass
class Cloud:
    """What the database keeps of a stream between requests."""

    cursor: Cursor = NO_CURSOR
    epochs: set[int] = field(default_factory=set)
    taken: list[Incoming] = field(default_factory=list)

    def request(self, blocks: list[Incoming]):
        known = frozenset(self.epochs & {b.header.epoch for b in blocks} - {self.cursor.epoch})
        found = walk(self.cursor, blocks, known)
        self.cursor = found.cursor
        self.epochs |= {b.header.epoch for b in found.taken}
        self.taken += found.taken
        return found


requests = st.lists(
    st.one_of(
        st.lists(st.sampled_from(UNIVERSE), min_size=1, max_size=8),
        st.builds(  # a consecutive piece, as honest boxes send
            lambda blocks, start, count: blocks[start : start + count] or blocks[-1:],
            st.sampled_from([FIRST, SECOND, THIRD, FORKED, TORN]), st.integers(0, LENGTH - 1), st.integers(1, LENGTH),
        ),
    ),
    max_size=8,
)  # fmt: skip


@given(requests)
def test_what_is_taken_is_one_chain_and_each_block_of_it_once(sent: list[list[Incoming]]) -> None:
    cloud = Cloud()
    for blocks in sent:
        cloud.request(blocks)
    ended: set[int] = set()
    at = NO_CURSOR
    for taken in cloud.taken:
        head = taken.header
        if head.epoch != at.epoch:
            ended.add(at.epoch)
            assert (head.number, head.previous) == (1, 0)
            assert head.epoch not in ended
        else:
            assert (head.number, head.previous) == (at.number + 1, at.checksum)
        at = Cursor(head.epoch, head.number, taken.checksum)
    assert cloud.cursor == at


@given(requests)
def test_an_honest_box_always_gets_on(sent: list[list[Incoming]]) -> None:
    """Sending on from the cloud's cursor, or under a new epoch, is taken whole, whatever came before."""
    cloud = Cloud()
    for blocks in sent:
        cloud.request(blocks)
    honest = next((c for c in (FIRST, SECOND, THIRD, FORKED, [*FIRST[:2], *TORN]) if cloud.taken[-1:] and
                   cloud.taken[-1] in c), None)  # fmt: skip
    if honest is not None:
        rest = honest[cloud.cursor.number :]
        found = cloud.request(honest)
        assert found.refused is None
        assert list(found.taken) == rest
        assert found.repeats == len(honest) - len(rest)
    found = cloud.request(chain(9))
    assert (found.refused, len(found.taken)) == (None, LENGTH)


@given(requests, st.lists(st.sampled_from(UNIVERSE), min_size=1, max_size=8), st.integers(0, 8))
def test_a_request_may_be_cut_anywhere(sent: list[list[Incoming]], last: list[Incoming], cut: int) -> None:
    """What a request brings, it brings in two as well, up to a second new epoch."""
    whole, parts = Cloud(), Cloud()
    for blocks in sent:
        whole.request(blocks)
        parts.request(blocks)
    before = len(whole.taken)
    found = whole.request(last)
    assert found.repeats + len(found.taken) <= len(last)
    assert (found.refused is None) is (found.repeats + len(found.taken) == len(last))
    first = parts.request(last[:cut])
    if first.refused is None:
        parts.request(last[cut:])
    assert parts.taken[before : before + len(found.taken)] == list(found.taken)


@given(requests)
def test_a_repeat_changes_nothing(sent: list[list[Incoming]]) -> None:
    cloud = Cloud()
    for blocks in sent:
        found = cloud.request(blocks)
        accepted = blocks[: found.repeats + len(found.taken)]
        if {b.header.epoch for b in accepted} == {cloud.cursor.epoch}:
            again = walk(cloud.cursor, accepted, frozenset())
            assert (again.taken, again.cursor, again.refused) == ((), cloud.cursor, None)
            assert again.repeats == len(accepted)


AT_THREE = Cursor(1, 3, FIRST[2].checksum)
GAP, FORK, CLOSED = RefusalReason.GAP, RefusalReason.FORK, RefusalReason.CLOSED_EPOCH


@pytest.mark.parametrize(
    ("cursor", "blocks", "known", "repeats", "taken", "refused"),
    [
        (NO_CURSOR, FIRST, (), 0, 5, None),
        (NO_CURSOR, FIRST[1:], (), 0, 0, GAP),
        (NO_CURSOR, [block(1, 1, 5, 6)], (), 0, 0, GAP),
        (AT_THREE, [], (), 0, 0, None),
        (AT_THREE, FIRST[:3], (), 3, 0, None),
        (AT_THREE, FIRST, (), 3, 2, None),
        (AT_THREE, FIRST[3:], (), 0, 2, None),
        (AT_THREE, FIRST[4:], (), 0, 0, GAP),
        (AT_THREE, [FIRST[3], FIRST[3]], (), 1, 1, None),
        (AT_THREE, [FIRST[4], FIRST[3]], (), 0, 0, GAP),
        (AT_THREE, [FORKED[2]], (), 0, 0, FORK),
        (AT_THREE, [FORKED[3]], (), 0, 0, FORK),
        (AT_THREE, [FIRST[3], FORKED[4]], (), 0, 1, FORK),
        (AT_THREE, SECOND, (), 0, 5, None),
        (AT_THREE, [FIRST[3], *SECOND], (), 0, 6, None),
        (AT_THREE, [*SECOND, *THIRD], (), 0, 5, GAP),
        (AT_THREE, [*SECOND, FIRST[3]], (), 0, 5, GAP),
        (AT_THREE, SECOND[1:], (), 0, 0, GAP),
        (AT_THREE, SECOND, (2,), 0, 0, CLOSED),
        (AT_THREE, SECOND[3:], (2,), 0, 0, CLOSED),
        (AT_THREE, [FIRST[3], *SECOND], (2,), 0, 1, CLOSED),
        (AT_THREE, ODD[:1], (), 0, 0, GAP),
    ],
)
def test_each_rule(cursor: Cursor, blocks, known, repeats: int, taken: int, refused: str | None) -> None:
    found = walk(cursor, blocks, frozenset(known))
    assert (found.repeats, len(found.taken), found.refused) == (repeats, taken, refused)
    last = found.taken[-1] if found.taken else None
    assert found.cursor == (Cursor(last.header.epoch, last.header.number, last.checksum) if last else cursor)


def test_a_block_is_read_with_its_body() -> None:
    header = Header(Lane.URGENT, 7, 1, 0, bytes(16), 0, 0, 1, 1)
    found = read_block(encode_block(header, b"body"))
    assert (found.header, found.body()) == (header, b"body")


def test_damage_on_the_way_is_refused_but_a_bad_body_is_told_apart() -> None:
    sound = claiming(100, b"this is no zstd frame")
    with pytest.raises(BlockError, match="checksum"):
        read_block(sound[:-9] + b"\x00" + sound[-8:])
    found = read_block(sound)
    with pytest.raises(BlockError, match=r"does not decompress|another size"):
        found.body()
    assert checksum_bytes(sound[:-8]) == sound[-8:]


def test_a_request_of_tiny_blocks_is_bounded_by_what_they_become() -> None:
    blocks = []
    for number in range(1, 51):
        header = Header(Lane.BULK, 1, number, number - 1, bytes(16), 1, 0, number, MAX_ITEMS)
        blocks.append(Incoming(b"", header, number, 20))
    assert blocks[0].size == MAX_ITEMS * READING_BYTES
    walked = walk(NO_CURSOR, blocks, frozenset())
    assert 0 < sum(b.size for b in walked.taken) <= MAX_TAKEN_BYTES
    assert len(walked.taken) < len(blocks)
    assert walked.refused is None


def test_a_request_of_blocks_that_hold_nothing_is_bounded_by_how_many_they_are() -> None:
    blocks = []
    for number in range(1, 60_000):  # as many as a request has room for
        header = Header(Lane.URGENT, 1, number, number - 1, bytes(16), 0, 0, number, 0)
        blocks.append(Incoming(b"", header, number, 1))
    assert len(walk(NO_CURSOR, blocks, frozenset()).taken) == MAX_TAKEN_BYTES // BLOCK_BYTES < 5_000


def test_records_count_for_more_than_their_bytes() -> None:
    blocks = [
        Incoming(b"", Header(Lane.URGENT, 1, number, number - 1, bytes(16), 0, 0, number, 1_000), number, 5_000)
        for number in range(1, 51)
    ]
    taken = walk(NO_CURSOR, blocks, frozenset()).taken
    assert sum(block.header.items for block in taken) <= MAX_TAKEN_BYTES // RECORD_BYTES
