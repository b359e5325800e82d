"""Advertisements as BlueZ tells of them, and which a monitor lets through."""

from hypothesis import given
from hypothesis import strategies as st

from simulators.ble.air import matches, properties_of
from simulators.ble.peripheral import Advertisement, full_uuid

OWN = "a1ce0000-5eed-4b1e-8000-00805f9b34fb"


def test_patterns_see_the_bytes_on_the_air() -> None:
    heard = Advertisement(manufacturer={0x0499: b"\x05"}, service={full_uuid("fcd2"): b"\x40", OWN: b"\x01"})
    assert matches(heard, [(0, 0x16, b"\xd2\xfc")])
    assert matches(heard, [(0, 0x16, b"\xd2\xfd"), (0, 0xFF, b"\x99\x04\x05")])
    assert matches(heard, [(2, 0x16, b"\x40")])
    assert matches(heard, [(0, 0x21, bytes.fromhex(OWN.replace("-", ""))[::-1])])
    assert not matches(heard, [(0, 0x16, b"\x1a\x18"), (0, 0xFF, b"\x05")])
    assert not matches(heard, [])


@given(st.text(max_size=40))
def test_any_name_is_one_that_d_bus_can_carry(name: str) -> None:
    said = properties_of(Advertisement(name=name))["Name"].value
    assert "\0" not in said
    said.encode()
