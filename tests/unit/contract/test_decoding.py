"""What somebody else wrote is either the message or one kind of error, whatever it is."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.decoding import from_json
from contract.messages import Command
from contract.records import decode_records

DEEP = 100_000


class Said(msgspec.Struct):
    word: str = ""


@pytest.mark.parametrize(
    "data",
    [b'{"word":"\xff"}', b'{"x":' + b"[" * DEEP, b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}", b"", b'{"word":1}'],
)
def test_what_is_no_message_is_one_kind_of_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        from_json(data, Said)


def test_the_error_repeats_nothing_of_what_was_said() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        from_json(b'{"word":"secret\xff"}', Said)
    assert "secret" not in str(caught.value)


def test_what_is_one_is_taken() -> None:
    assert from_json('{"word":"门"}', Said).word == "门"


@given(st.binary(max_size=200))
@pytest.mark.parametrize("model", [Said, Command, dict[str, int]])
def test_any_bytes(model: Any, data: bytes) -> None:
    with suppress(msgspec.DecodeError):
        from_json(data, model)


@pytest.mark.parametrize("body", [b"\x91\x95\xa5event\xa1\xff", b"\x91\x95\xa5event" + b"\x91" * DEEP, b"\x91" * DEEP])
def test_records_of_damaged_text_and_of_any_depth(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_records(body)
