"""What box and cloud say to each other: blocks, the records and columns in them, requests, replies, orders."""

from array import array
from contextlib import suppress
from pathlib import Path

import msgspec

import contract
from cloud.ingest.checks import problem_of
from cloud.store.columns import decode_columns as decode_by_numpy
from contract.block import (
    CHECKSUM_BYTES,
    HEADER,
    MAGIC,
    MAX_BODY_BYTES,
    VERSION,
    Header,
    checksum_bytes,
    decode_block,
    encode_block,
    rechain_block,
)
from contract.columns import SERIES, Row, decode_columns, encode_columns
from contract.decoding import from_json
from contract.errors import BlockError, Permanent
from contract.kinds import Lane
from contract.messages import Command, CommandResult, CommandStatus, Event, Quality
from contract.profile import AnyProfile, ModbusWrite
from contract.records import ConfigReport, LossReceipt, Record, decode_records, encode_records
from contract.session import (
    Beat,
    BeatReply,
    BlocksReply,
    ChallengeReply,
    ChallengeRequest,
    Cursor,
    EnrolReply,
    EnrolRequest,
    Refusal,
    SessionReply,
    SessionRequest,
    iter_blocks,
    join_blocks,
)
from edge.uplink.session import (
    MAX_EXPIRES_S,
    MIN_EXPIRES_S,
    Opened,
    _check_cursor,
    _detail,
    _retry_after_s,
    decode_command,
)
from tests.fuzz.target import chosen
from tests.support.blocks import BOOT, Chain, clock, inventory, smoke
from tests.support.modbus import PROFILES

GOLDEN = Path(contract.__file__).parent / "golden"
_SEALED, _PACKED = 1, 2
"""Bits of the first byte: the input gets the lengths and the check sum that it needs; it is a body, to be packed."""
_LENGTHS_AT = HEADER.size - 4
_SERIES = 5
_MAX_ROWS = 2_000


def blocks(data: bytes) -> None:
    """Any bytes as a block, as the cloud's first check has it: BlockError, or what can be sealed anew; never more
    memory than a body may take."""
    flags, data = chosen(data)
    if flags & _PACKED:
        stream = Lane.BULK if flags & 4 else Lane.URGENT
        items, data = chosen(data)
        data = encode_block(Header(stream, 1, 1, 0, BOOT, 0, 0, 0, items), data)
    elif flags & _SEALED and len(data) > HEADER.size:
        packed = data[HEADER.size :]
        head = MAGIC + bytes((VERSION, data[5] & 1, 0, 0)) + data[8:_LENGTHS_AT] + len(packed).to_bytes(4, "little")
        data = head + packed + checksum_bytes(head + packed)
    try:
        block = decode_block(data)
        rechained = decode_block(rechain_block(data, 2, 3, 4))
    except BlockError as e:
        assert str(e)
        return
    assert len(block.body) <= MAX_BODY_BYTES
    assert rechained.body == block.body
    if block.header.stream is Lane.URGENT:
        _records(block.body)
    else:
        _columns(block.header, block.body)


def _records(body: bytes) -> None:
    try:
        found = decode_records(body)
    except msgspec.MsgspecError:
        return
    for record in found:
        problem_of(record)
    body = encode_records(found)
    assert encode_records(decode_records(body)) == body  # as bytes: a number that is none is not like itself


def _columns(header: Header, body: bytes) -> None:
    """The plain decoder and the cloud's say the same."""
    columns, rows = None, None
    with suppress(BlockError):
        columns = decode_by_numpy(header, body, SERIES)
    if header.items > _MAX_ROWS:
        return  # a few bytes may be 100,000 readings that are all alike, which the plain decoder takes long for
    with suppress(BlockError):
        rows = decode_columns(body, header.items, header.base_ns)
    assert (columns is None) is (rows is None)
    if columns is not None and rows is not None:
        assert columns.series.tolist() == [row.series for row in rows]
        assert columns.mono_ns.tolist() == [row.mono_ns for row in rows]
        assert columns.value.tobytes() == array("d", [row.value for row in rows]).tobytes()
        assert columns.quality.tolist() == [int(row.quality) for row in rows]
        ordered = decode_columns(encode_columns(rows, header.base_ns), len(rows), header.base_ns)
        assert [(row.series, row.mono_ns) for row in ordered] == [(row.series, row.mono_ns) for row in rows]


def block_seeds() -> list[bytes]:
    """The golden blocks, whole and to be sealed anew, and bodies of either stream."""
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*.block"))]
    rows = [Row(n % _SERIES, n * 10**9, n / 7 if n % 2 else n / 10, Quality(n % 4)) for n in range(20)]
    short = [Row(n % _SERIES, n * 10**9, n / 10, Quality.GOOD) for n in range(20)]
    urgent = [chain.urgent(smoke("alarm", 5), clock(10**18), inventory()) for chain in [Chain(Lane.URGENT)]]
    unsealed = [bytes((_SEALED,)) + block[:-CHECKSUM_BYTES] for block in golden]
    return [
        *(b"\0" + block for block in golden + urgent), *unsealed,
        *(bytes((_PACKED | 4, len(of))) + encode_columns(of, 0) for of in (rows, short)),
        bytes((_PACKED, 1)) + encode_records([smoke("alarm", 5)]),
    ]  # fmt: skip


def records(data: bytes) -> None:
    """Any bytes as the body of an urgent block: records that say the same again, or msgspec's named errors."""
    _records(data)


def record_seeds() -> list[bytes]:
    """One of each record."""
    each: list[Record] = [
        smoke("alarm", 5), smoke(None, 6), clock(10**18), inventory(),
        Event("d", "opened", {"credential": "x", "n": 1, "f": 1.5, "b": True}, 7),
        LossReceipt(Lane.BULK, 1, 2, 3, 4, 5, "full", 6),
        ConfigReport("1", "abc", 7), CommandResult("c", CommandStatus.EXECUTED, "", 8),
    ]  # fmt: skip
    return [encode_records([record]) for record in each] + [encode_records(each), b"\x91\x95\xa5event" + b"\x91" * 3000]


REPLIES: tuple[type[msgspec.Struct], ...] = (
    EnrolReply, ChallengeReply, SessionReply, BlocksReply, Refusal, BeatReply,
    EnrolRequest, ChallengeRequest, SessionRequest, Beat,
)  # fmt: skip


def session(data: bytes) -> None:
    """Any bytes as an answer of the cloud or a request of a box: the message or msgspec's errors, used as they are."""
    number, data = chosen(data)
    for utc_ns in (None, 10**18):
        after_s = _retry_after_s(data.decode("latin-1"), utc_ns)
        assert after_s is None or after_s >= 0
    assert len(_detail(data)) <= len(data) + 2
    try:
        for block in iter_blocks(data):
            assert len(block) <= len(data)
    except BlockError as e:
        assert str(e)
    try:
        said: msgspec.Struct = from_json(data, REPLIES[number % len(REPLIES)])
        if isinstance(said, SessionReply):
            _check_cursor(said.urgent)
            _check_cursor(said.bulk)
            opened = Opened(said, 0, 1)
            assert MIN_EXPIRES_S <= opened.expires_s <= MAX_EXPIRES_S
            assert opened.time_ns is None or opened.time_ns < 1 << 63
        elif isinstance(said, BlocksReply | Refusal):
            _check_cursor(said.cursor)
    except (msgspec.MsgspecError, ValueError):
        return
    assert msgspec.json.decode(msgspec.json.encode(said), type=type(said)) == said


def session_seeds() -> list[bytes]:
    """One of each message, a problem, a request's body."""
    cursor = Cursor(1, 2, 3)
    each = (
        EnrolReply("g", "e"), ChallengeReply(bytes(32)), SessionReply("t", 900.0, 10**18, cursor, cursor),
        BlocksReply(cursor, 1), Refusal("gap", cursor, 7), BeatReply(True),
        EnrolRequest("c", bytes(32), "h", "1"), ChallengeRequest("g"), SessionRequest("g", b"n", b"s", "1"), Beat(1, 2),
    )  # fmt: skip
    seeds = [bytes((n,)) + msgspec.json.encode(one) for n, one in enumerate(each)]
    deep = b'{"x":' + b"[" * 3000
    odd = [deep, b'{"detail":"why","status":503}', join_blocks([b"block", b""]), b"1.5", b"inf"]
    return seeds + [bytes((n,)) + one for n, _ in enumerate(each) for one in odd]


def commands(data: bytes) -> None:
    """Any line of the down stream: an order or msgspec's errors; what an order gives any model to write, or why not."""
    try:
        command = decode_command(data)
    except msgspec.MsgspecError:
        return
    for model in PROFILES.values():
        _give(model, command)


def _give(model: AnyProfile, command: Command) -> None:
    point = model.points.get(command.point)
    if point is None or point.write is None:
        return
    try:
        if isinstance(point.write, ModbusWrite):
            point.write.number(command.args)
        else:
            point.write.given(command.args)
    except Permanent as e:
        assert str(e)


def command_seeds() -> list[bytes]:
    """Orders for every command that a shipped model has."""
    names = {
        (name, point.write.argument or "")
        for model in PROFILES.values()
        for name, point in model.points.items()
        if point.write
    }
    orders = [
        msgspec.json.encode(Command("id", "d", name, {argument: 5} if argument else {}, 10**18))
        for name, argument in sorted(names)
    ]
    return [*orders, b'{"x":' + b"[" * 3000]
