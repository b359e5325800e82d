"""BLE: vendors' formats, BTHome frames in clear and sealed, and what one sensor makes of a run of advertisements."""

import math
from functools import cache
from typing import cast

from contract.profile import BleProfile
from contract.site import BleBus, BleDevice, Resolved, ResolvedBle, ResolvedDevice, Secret
from edge.drivers.ble.bthome import UUID, Refused, check, parse
from edge.drivers.ble.config import DEFAULT_TIMING
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.decode import Pattern, decode_all, full_uuid
from edge.drivers.ble.sensor import Heard, Sensor
from simulators.ble import bthome
from tests.fuzz.onward import normaliser_of, send_on
from tests.fuzz.target import chosen, joined, parts
from tests.support.drivers_ble import BUTTON, CLIMATE, HYBRID, LEAK
from tests.support.modbus import PROFILES
from tests.support.recordings import recordings

S = 1_000_000_000
KEY = bytes(range(16))
ADDRESS = "A4:C1:38:00:00:01"
MODELS = [*(profile for profile in PROFILES.values() if isinstance(profile, BleProfile)), LEAK, BUTTON, CLIMATE, HYBRID]
MOST_REASONS = 10
"""Refusals are counted by reason; there are so few of them, whatever is sent."""
_SEALED, _KEYED, _NO_RSSI, _OTHER = 0x80, 0x40, 0x20, 0x10
"""Bits of a message's first byte: sealed with the sensor's key; heard by a sensor that has one; heard of, not heard;
another state of the device. The rest is seconds since the message before."""


def formats(data: bytes) -> None:
    """Any bytes in any format of any model: a value, or a reason why there is none; texts short and printable."""
    number, data = chosen(data)
    model = MODELS[number % len(MODELS)]
    for name, format_ in model.formats.items():
        Pattern(format_).fits(data)
        _decode(model, data, format_=name)
    for characteristic in {point.read.characteristic for point in model.points.values() if point.read}:
        if characteristic:
            _decode(model, data, characteristic=characteristic)


def _decode(model: BleProfile, data: bytes, *, format_: str = "", characteristic: str = "") -> None:
    reads = {
        name: point.read
        for name, point in model.points.items()
        if point.read and (point.read.format or "") == format_ and (point.read.characteristic or "") == characteristic
    }
    raws, errors = decode_all(reads, data)
    assert raws.keys() | errors.keys() == reads.keys()
    for raw in raws.values():
        assert raw.isprintable() if isinstance(raw, str) else math.isfinite(raw)


def format_seeds() -> list[bytes]:
    """What recordings hold, for every model."""
    said = [data for _, data in _recorded()]
    return [bytes((n,)) + said[(n + i) % len(said)] for n in range(len(MODELS)) for i in range(3)]


@cache
def _recorded() -> list[tuple[int | str, bytes]]:
    """Payloads of recordings with their company or service."""
    found: list[tuple[int | str, bytes]] = []
    for recording in recordings("ble").values():
        for said in recording.advertisements:
            found += [(int(company, 16), bytes.fromhex(data)) for company, data in said.manufacturer.items()]
            found += [(full_uuid(uuid), bytes.fromhex(data)) for uuid, data in said.service.items()]
    return found


def frames(data: bytes) -> None:
    """Any BTHome frame, in clear, sealed by anybody, or sealed with the right key: refused by name, or finite."""
    flags, data = chosen(data)
    key = KEY if flags & _KEYED else None
    if flags & _SEALED:
        data = bthome.service_data(data, ADDRESS, KEY, flags)
    try:
        frame = parse(data, ADDRESS, key, check(data, key, -1))
    except Refused as e:
        assert e.reason.isascii()
        assert str(e)
        return
    assert all(isinstance(number, str) or math.isfinite(number) for number in frame.numbers.values())
    assert set(frame.binaries.values()) <= {0, 1}
    assert (frame.counter is None) == (key is None)


def frame_seeds() -> list[bytes]:
    """The standard's examples, the recordings, and each object that the simulated sensors can send."""
    objects = [bthome.binary(name, True) for name in bthome.BINARIES]
    objects += [bthome.number(name, 1) for name in bthome.NUMBERS]
    objects += [bytes((bthome.BUTTON, press)) for press in bthome.PRESSES.values()]
    texts = [b"\x53\x0cHello World!", b"\x54\x0cHello World!", b"\x52\x01\x02\x03\x04\x05\x06", b"\x3c\x01\x03"]
    bodies = [bthome.payload(objects[i : i + 4], i) for i in range(0, len(objects), 4)] + texts
    clear = [b"\0" + bthome.service_data(body, ADDRESS) for body in bodies]
    sealed = [bytes((_SEALED | _KEYED,)) + body for body in bodies]
    heard = [b"\0" + data for where, data in _recorded() if where == UUID]
    return [*clear, *sealed, *heard, bytes((_KEYED,)) + bytes.fromhex("41a47266c95f730011223378237214")]


@cache
def _item(number: int, *, is_keyed: bool) -> ResolvedBle:
    model = MODELS[number]
    device = BleDevice(
        id="it", name="它", profile=model.id, address=ADDRESS, bindkey=Secret("key") if is_keyed else None
    )
    return Resolved(device, BleBus(id="radio", protocol="ble", devices=[device]), model)


def sensors(data: bytes) -> None:
    """A run of advertisements to one sensor, by anybody: what comes of it fits further on, what is kept is bounded."""
    number, data = chosen(data)
    is_keyed = bool(number & _KEYED)
    item = _item((number & 0x3F) % len(MODELS), is_keyed=is_keyed)
    sensor = Sensor(item, KEY if is_keyed else None, Counters(None), DEFAULT_TIMING, 0)
    normaliser = normaliser_of([cast("ResolvedDevice", item)])
    now_ns = S
    for counter, message in enumerate(parts(data)):
        flags, message = chosen(message)
        now_ns += (flags & 0x0F) ** 2 * S
        if flags & _SEALED:
            message = bthome.service_data(message, ADDRESS, KEY, counter)
        services, companies = {UUID: message}, {}
        for format_ in item.profile.formats.values():
            if format_.company is not None:
                companies[format_.company] = message
            else:
                services[full_uuid(format_.service or "")] = message
        rssi = None if flags & _NO_RSSI else -(flags & 0x7F)
        samples = sensor.hear(Heard(services, companies, rssi, (bool(flags & _OTHER),)), now_ns)
        assert all(sample.device == "it" and sample.point in item.profile.points for sample in samples)
        send_on(normaliser, samples)
        send_on(normaliser, sensor.watch(now_ns))
    assert len(sensor.refused) <= MOST_REASONS
    assert sensor.seen.keys() <= item.profile.points.keys()
    assert len(sensor._sources) <= 1 + len(item.profile.formats)


def sensor_seeds() -> list[bytes]:
    """Frames that change, that repeat, and that fall silent, to each model, with a key and without."""
    seeds = []
    bodies = [data[1:] for data in frame_seeds()[:12]]
    heard = [data for _, data in _recorded()]
    for n in range(len(MODELS)):
        run = [bytes((1,)) + heard[(n + i) % len(heard)] for i in range(4)] + [b"\x0f" + heard[n % len(heard)]]
        seeds.append(bytes((n,)) + joined([*run, run[0], b"\x21" + heard[0]]))
        seeds.append(bytes((n,)) + joined(b"\1" + body for body in bodies[n % 8 : n % 8 + 4]))
        sealed = [bytes((_SEALED | 1,)) + body[1:] for body in bodies[n % 8 : n % 8 + 4]]
        seeds.append(bytes((n | _KEYED,)) + joined([*sealed, sealed[0]]))
    return seeds
