"""What samples of hostile bytes become further on: whatever a device says, the box must be able to keep and send."""

import math
from collections.abc import Iterable, Sequence

from cloud.ingest.checks import problem_of
from contract.columns import Row, decode_columns, encode_columns
from contract.kinds import Lane
from contract.messages import Event, Reading, Sample
from contract.records import Record, StateRecord, decode_records, encode_records
from contract.site import ResolvedDevice
from edge.normalise.normaliser import Normaliser
from edge.normalise.personal import tokeniser

_KEY = bytes(32)


def normaliser_of(devices: Sequence[ResolvedDevice]) -> Normaliser:
    """A normaliser that has heard nothing yet."""
    return Normaliser(devices, tokenise=tokeniser(_KEY))


def send_on(normaliser: Normaliser, samples: Iterable[Sample]) -> None:
    """Takes samples the rest of their way. Each reading and event must fit its stream, and the cloud must keep it."""
    taken = normaliser.take(samples)
    records: list[Record] = []
    rows: list[Row] = []
    for item in taken:
        if isinstance(item, Event):
            records.append(item)
        elif item.lane is Lane.URGENT:
            assert item.value is None or isinstance(item.value, str), item
            records.append(StateRecord(item.device, item.point, item.value, item.quality, item.mono_ns))
        else:
            rows.append(_row(item))
    assert decode_records(encode_records(records)) == tuple(records)
    problems = [problem for record in records if (problem := problem_of(record)) is not None]
    assert not problems, problems
    if rows:
        decode_columns(encode_columns(rows, 0), len(rows), 0)


def _row(reading: Reading) -> Row:
    value = reading.value
    assert value is None or (isinstance(value, float | int) and math.isfinite(value)), reading
    return Row(0, reading.mono_ns, math.nan if value is None else float(value), reading.quality)
