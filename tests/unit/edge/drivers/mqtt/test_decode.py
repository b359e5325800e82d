"""Payloads: what they say within limits, and that nothing anybody can send breaks or bloats the reading of it."""

import json
import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.profile.mqtt import _PATH
from edge.drivers.mqtt.decode import (
    MAX_DEPTH,
    MAX_PAYLOAD,
    MAX_TEXT,
    BadPayload,
    at_path,
    fields_at,
    matches,
    number_of,
    parse,
    parse_path,
    raw_at,
    to_raw,
)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()), ("smoke", ("smoke",)), ("params.switch:0.apower", ("params", "switch:0", "apower")),
        ("rxInfo[0].rssi", ("rxInfo", 0, "rssi")), ("[1][2]", (1, 2)), ("a b.c-d", ("a b", "c-d")),
        ("温度.值", ("温度", "值")),
    ],
)  # fmt: skip
def test_paths(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize("text", [".a", "a.", "a..b", "a[", "a[x]", "a]b", "a[0]b", "[", "a.[0]"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        parse_path(text)


@given(st.text(alphabet="ab.[]01:", min_size=1, max_size=8))
def test_a_profile_is_refused_exactly_the_paths_that_cannot_be_read(text: str) -> None:
    try:
        parse_path(text)
    except ValueError:
        assert not _PATH.fullmatch(text)
    else:
        assert _PATH.fullmatch(text)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"smoke":true}', {"smoke": True}), (b"ON", "ON"), (b" online\n", "online"), (b"", ""), (b"true", True),
        (b"23.5", 23.5), (b'"Offline"', "Offline"), (b"null", None), (b"NaN", "NaN"), (b"-Infinity", "-Infinity"),
        (b"[1,2]", [1, 2]), (b' {"a":1}', {"a": 1}), (b'{"a":1,"a":2}', {"a": 2}), ("在线".encode(), "在线"),
    ],
)  # fmt: skip
def test_what_a_payload_says(payload: bytes, said: object) -> None:
    assert parse(payload) == said


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b'{"a":NaN}', "not JSON"), (b'{"a":1e999}', "not JSON"), (b'{"a":', "not JSON"), (b'{"a":"\xff"}', "not JSON"),
        (b"\xff\xd8\xff\xe0", "not UTF-8"), (b"x" * 2000, "too long"), (b"{" + b" " * MAX_PAYLOAD + b"}", "larger"),
        (b"[" * 40 + b"]" * 40, "nested"), (b'{"a":' * 40 + b"1" + b"}" * 40, "nested"), (b"[" * 100_000, "nested"),
        (b'{"a":"\\ud800"}', "not JSON"), (b'{"n":' + b"9" * 5000 + b"}", "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_payload(payload: bytes, why: str) -> None:
    with pytest.raises(BadPayload, match=why):
        parse(payload)


def test_brackets_within_texts_are_no_depth() -> None:
    assert parse(json.dumps({"log": "[[[[{{{{" * 20, "a": [[1]]}).encode())["a"] == [[1]]
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


@pytest.mark.parametrize(
    ("value", "raw"), [(True, 1), (False, 0), (5, 5), (-2.5, -2.5), ("ON", "ON"), (2**63 - 1, 2**63 - 1)]
)
def test_raw_values(value: object, raw: object) -> None:
    found = to_raw(value)
    assert (found, type(found)) == (raw, type(raw))


@pytest.mark.parametrize("value", [2**63, -(2**64), 10**300, math.inf, math.nan, "x" * (MAX_TEXT + 1), [], {}, [1]])
def test_what_no_point_can_carry(value: object) -> None:
    with pytest.raises(BadPayload):
        to_raw(value)


def test_what_is_not_there_is_no_news_and_no_failure() -> None:
    assert raw_at({"a": None}, ("a",)) is None
    assert raw_at({}, ("a", "b")) is None
    assert raw_at({"a": [1]}, ("a", 5)) is None
    assert raw_at({"a": 1}, ("a", "b")) is None
    with pytest.raises(BadPayload, match="not JSON"):
        raw_at("garbage", ("a",))


def test_numbers_between_quotes() -> None:
    assert number_of("80.00") == 80.0
    assert number_of("-3") == -3
    for text in ("", "nan", "1e5", "0x10", "12 V", "1_000", "٣", "9" * 400):
        assert number_of(text) == text


def test_matching() -> None:
    document = {"zones": ["yard", "restricted"], "label": "person", "still": False, "n": 1, "deep": {"a": 1}}
    assert matches(document, ("zones",), ("restricted",))
    assert not matches(document, ("zones",), ("garage",))
    assert matches(document, ("label",), ("car", "person"))
    assert matches(document, ("still",), (False,))
    assert not matches(document, ("nowhere",), ("person",))
    assert not matches(document, ("deep",), ("a",))


def test_fields_keep_true_and_leave_out_what_no_field_can_carry() -> None:
    document = {"id": "a-1", "granted": True, "n": 5, "no": None, "deep": {}, "long": "x" * 1000}
    paths = {name: (name,) for name in (*document, "nowhere")}
    found = fields_at(document, paths)
    assert found == {"id": "a-1", "granted": True, "n": 5}
    assert found["granted"] is True


JSONISH = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)
STEPS = st.lists(st.text(max_size=3) | st.integers(0, 3), max_size=4).map(tuple)


@given(st.binary(max_size=200) | JSONISH.map(lambda d: json.dumps(d).encode()), STEPS)
@settings(max_examples=400)
def test_whatever_comes_is_a_raw_value_nothing_or_bad(payload: bytes, path: tuple[str | int, ...]) -> None:
    try:
        document = parse(payload)
        raw = raw_at(document, path)
    except BadPayload as e:
        bad = str(e)
        assert len(bad) < 60  # most payloads are bad, and any must be
        return
    assert raw is None or (isinstance(raw, int | float | str) and not isinstance(raw, bool))
    if isinstance(raw, int | float):
        assert math.isfinite(raw)
        assert math.isfinite(raw * 1e-3 + 1e3), "what a profile does with it stays a number"
    at_path(document, path)


@given(JSONISH)
def test_an_own_reading_agrees_with_a_second_opinion(document: object) -> None:
    text = json.dumps(document)
    if "NaN" in text or "Infinity" in text or len(text) > MAX_TEXT:
        return
    try:
        said = parse(text.encode())
    except BadPayload:
        return
    assert said == json.loads(text) or any(ord(c) >= 0xD800 for c in text)


def test_a_hostile_payload_takes_little_memory() -> None:
    tracemalloc.start()
    for payload in (
        b"[" * MAX_PAYLOAD,
        b"[" + b"0," * (MAX_PAYLOAD // 2 - 2) + b"0]",
        b'{"a":' * 25 + b"[" + b"{}," * 30_000 + b"0]" + b"}" * 25,
        b'"' + b"\\u0000" * 20_000 + b'"',
    ):
        try:
            parse(payload)
        except BadPayload:
            continue
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
