"""What a payload says: JSON or a bare word, decoded once and within limits, and the values at paths in it. Pure.

Whoever may publish on the broker can send anything. What is too large, too deep or malformed is no payload; a value
that a point could not carry (an object, a number beyond 64 bits, a long text) is no value.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

MAX_PAYLOAD: Final = 128 * 1024
"""Bytes. Frigate's events, the largest of the families, take some 10 KB."""
MAX_DEPTH: Final = 32
MAX_TEXT: Final = 256
"""Characters of a text that a point or a field may carry."""
_MAX_WHOLE: Final = 2**63
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")

Raw = int | float | str
Path = tuple[str | int, ...]
MISSING: Final = object()
"""There is nothing at a path: no news of that point, which is usual where devices say only what changed."""

_decode = msgspec.json.Decoder().decode


class BadPayload(Exception):  # noqa: N818  # it is the payload that is bad
    """Not what such a message can hold, in a few words that never repeat what it holds."""


def parse_path(text: str) -> Path:
    """The steps of a path: keys between dots (a key may hold a colon), and [n] for the n-th of a list, from 0.

    Raises ValueError for what is no path.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        is_joint = match is not None and (match[1] is None or (text[at] == ".") == bool(at))
        if match is None or not is_joint:
            raise ValueError(f"{text!r} is no path: keys between dots, and [n] for the n-th of a list")
        steps.append(match[1] if match[1] is not None else int(match[2]))
        at = match.end()
    return tuple(steps)


def parse(payload: bytes) -> Any:
    """The document in a payload: JSON, or a bare word as a str (`ON`, `online`), or "" for nothing.

    Of keys that stand twice in an object the last counts, as for nearly every reader of JSON. Raises BadPayload.
    """
    if len(payload) > MAX_PAYLOAD:
        raise BadPayload(f"larger than {MAX_PAYLOAD // 1024} KB")
    if payload[:1] not in {b"{", b"["}:
        return _bare(payload)
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        _check_depth(payload)
    try:
        return _decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors, and text that is not UTF-8, are ValueErrors
        raise BadPayload("not JSON") from None


def _bare(payload: bytes) -> Any:
    """A payload that is no object or list: a JSON scalar, or else a word."""
    if len(payload) > 4 * MAX_TEXT:
        raise BadPayload("a text that is too long")
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise BadPayload("not UTF-8") from None
    if text[:1] in {"{", "["}:  # white space came before it
        return parse(text.encode())
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        return text


def _check_depth(payload: bytes) -> None:
    depth = 0
    for match in _BRACKETS.finditer(payload):
        depth += bool(match[1]) - bool(match[2])
        if depth > MAX_DEPTH:
            raise BadPayload(f"nested deeper than {MAX_DEPTH}")


def at_path(document: Any, path: Path) -> Any:
    """What is at a path of a document; MISSING where there is nothing."""
    node = document
    for step in path:
        if isinstance(step, str):
            if not isinstance(node, dict) or step not in node:
                return MISSING
            node = node[step]
        else:
            if not isinstance(node, list) or step >= len(node):
                return MISSING
            node = node[step]
    return node


def raw_at(document: Any, path: Path) -> Raw | None:
    """The raw value at a path, or None where there is none or null. JSON's true and false are 1 and 0.

    Raises BadPayload for what no point can carry.
    """
    if path and not isinstance(document, dict | list):
        raise BadPayload("not JSON")
    value = at_path(document, path)
    if value is MISSING or value is None:
        return None
    return to_raw(value)


def to_raw(value: Any) -> Raw:
    """A JSON scalar as a point carries it. Raises BadPayload for anything else."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        if -_MAX_WHOLE <= value < _MAX_WHOLE:
            return value
        raise BadPayload("a number beyond 64 bits")
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise BadPayload("no finite number")
    if isinstance(value, str):
        if len(value) <= MAX_TEXT:
            return value
        raise BadPayload("a text that is too long")
    raise BadPayload("a list or an object where a value is wanted")


def number_of(text: str) -> Raw:
    """The number that a text is, for devices that put numbers between quotes; the text itself where it is none."""
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def fields_at(document: Any, paths: Mapping[str, Path]) -> dict[str, Raw | bool]:
    """The fields of an event that are there, by name; true and false stay so. What no field can carry is left out."""
    found: dict[str, Raw | bool] = {}
    for name, path in paths.items():
        value = at_path(document, path)
        if value is MISSING or value is None:
            continue
        try:
            raw = to_raw(value)
        except BadPayload:
            continue
        found[name] = bool(raw) if isinstance(value, bool) else raw
    return found


def matches(document: Any, path: Path, wanted: Iterable[Raw]) -> bool:
    """Whether what is at a path is one of the wanted values or, where it is a list, holds one of them."""
    value = at_path(document, path)
    items = value if isinstance(value, list) else (value,)
    return any(_is_scalar(item) and item in wanted for item in items)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)
