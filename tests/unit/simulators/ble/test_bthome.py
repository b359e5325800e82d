"""The simulated sensors' BTHome, against the standard's example and another implementation of CCM."""

from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from simulators.ble import bthome


def test_the_standards_example() -> None:
    # Source: https://bthome.io/encryption
    key = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
    counter = int.from_bytes(bytes.fromhex("00112233"), "little")
    sent = bthome.service_data(bytes.fromhex("02ca0903bf13"), "54:48:E6:8F:80:A5", key, counter)
    assert sent.hex() == "41a47266c95f730011223378237214"


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=13, max_size=13), st.binary(max_size=100))
def test_ccm_is_ccm(key: bytes, nonce: bytes, body: bytes) -> None:
    assert b"".join(bthome.seal(key, nonce, body)) == AESCCM(key, tag_length=4).encrypt(nonce, body, None)


def test_objects_stand_in_the_order_of_their_ids() -> None:
    objects = [bthome.binary("smoke", True), bthome.number("battery", 90), bthome.number("temperature", -1.5)]
    assert bthome.payload(objects, packet_id=300) == bytes.fromhex("002c015a026aff2901")


def test_the_finest_object_that_holds_it() -> None:
    assert bthome.number("energy", 1.0)[0] == 0x0A
    assert bthome.number("energy", 100_000.0)[0] == 0x4D
    assert bthome.number("power", -5.0)[0] == 0x5C
