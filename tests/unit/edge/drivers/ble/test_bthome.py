"""BTHome frames: the standard's own examples, a sensor of other hands, and any bytes at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.drivers.ble.bthome import Frame, Refused, check, parse
from simulators.ble import bthome as sensor

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
OBJECTS = st.lists(
    st.one_of(
        st.builds(sensor.number, st.just("temperature"), st.integers(-3000, 6000).map(lambda n: n / 100)),
        st.builds(sensor.number, st.just("humidity"), st.integers(0, 10000).map(lambda n: n / 100)),
        st.builds(sensor.binary, st.sampled_from(sorted(sensor.BINARIES)), st.booleans()),
    ),
    min_size=1, max_size=6, unique_by=lambda one: one[0],
)  # fmt: skip


def frame(data: bytes, key: bytes | None = None, last: int = -1) -> Frame:
    return parse(data, ADDRESS, key, check(data, key, last))


def test_the_standards_example_in_clear() -> None:
    # Source: https://bthome.io/format: temperature 25.06 °C, humidity 50.55 %.
    assert frame(bytes.fromhex("4002ca0903bf13")).numbers == {"temperature": 25.06, "humidity": 50.55}


def test_the_standards_example_encrypted() -> None:
    # Source: https://bthome.io/encryption: this key and address, counter 00112233 on the air.
    said = frame(bytes.fromhex("41a47266c95f730011223378237214"), KEY)
    assert said.numbers == {"temperature": 25.06, "humidity": 50.55}
    assert said.counter == 0x33221100


def test_events_packet_and_binaries() -> None:
    said = frame(bytes.fromhex("4000092901 3a02".replace(" ", "")))
    assert (said.packet, said.binaries, said.events) == (9, {"smoke": 1}, {"button": ("double_press", {})})
    two = frame(bytes.fromhex("403a003a01"))
    assert two.events == {"button_2": ("press", {})}
    turned = frame(bytes.fromhex("403c0103"))
    assert turned.events == {"dimmer": ("rotate_left", {"steps": 3})}


@given(OBJECTS, st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16))
def test_what_a_sensor_sends_encrypted_says_the_same_as_in_clear(
    objects: list[bytes], counter: int, key: bytes
) -> None:
    body = sensor.payload(objects)
    clear = frame(sensor.service_data(body, ADDRESS))
    sealed = frame(sensor.service_data(body, ADDRESS, key, counter), key)
    assert (sealed.numbers, sealed.binaries, sealed.events) == (clear.numbers, clear.binaries, clear.events)
    assert sealed.counter == counter
    assert len(clear.numbers) + len(clear.binaries) == len(objects)


@given(OBJECTS, st.integers(0, 2**32 - 1), st.data())
def test_not_one_bit_of_an_encrypted_frame_can_be_changed(
    objects: list[bytes], counter: int, data: st.DataObject
) -> None:
    whole = sensor.service_data(sensor.payload(objects), ADDRESS, KEY, counter)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    spoilt = bytearray(whole)
    spoilt[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused):
        frame(bytes(spoilt), KEY)


@pytest.mark.parametrize(
    ("data", "key", "last", "reason"),
    [
        (b"", None, -1, "malformed"),
        (b"\x40", None, -1, "malformed"),
        (b"\x20\x02\xca\x09", None, -1, "malformed"),
        (bytes.fromhex("4002ca09"), KEY, -1, "plain"),
        (bytes.fromhex("41a47266c95f730011223378237214"), None, -1, "no key"),
        (bytes.fromhex("41a47266c95f730011223378237214"), bytes(16), -1, "bindkey"),
        (bytes.fromhex("41a47266c95f730011223378237214"), KEY, 0x33221100, "replayed"),
        (bytes.fromhex("41a47266c95f730011223378237214"), KEY, 0x33221101, "replayed"),
        (bytes.fromhex("410011223378237214"), KEY, -1, "malformed"),
        (bytes.fromhex("43a47266c95f730011223378237214"), KEY, -1, "malformed"),
    ],
)
def test_refusals(data: bytes, key: bytes | None, last: int, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        frame(data, key, last)
    assert refused.value.reason == reason
    assert KEY.hex() not in str(refused.value)


@given(st.binary(max_size=64), st.sampled_from([None, KEY]))
def test_any_bytes_are_a_frame_or_refused(data: bytes, key: bytes | None) -> None:
    try:
        said = frame(data, key)
    except Refused:
        return
    assert key is None
    assert all(isinstance(value, int | float | str) for value in said.numbers.values())


@given(st.binary(max_size=40))
def test_any_payload_that_looks_right_is_a_frame_or_refused(body: bytes) -> None:
    for data in (b"\x40" + body, b"\x42" + body, b"\x44" + body):
        try:
            frame(data)
        except Refused as e:
            assert e.reason == "malformed"  # noqa: PT017
