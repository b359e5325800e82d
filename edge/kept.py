"""Small things of the state folder that outlive a restart: the estate's key, and what counters have come to."""

import base64
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from contract.decoding import from_json
from contract.errors import AnjuError
from edge.disk import sync_folder, write_durably
from edge.seams import CounterState

log = structlog.get_logger(__name__)

KEY_FILE = "estate.key"
KEY_BYTES = 32
COUNTERS_FILE = "counters.json"
_MAX_COUNTERS_BYTES = 4 << 20

Counters = dict[tuple[str, str], CounterState]
"""By device and point."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    device: str
    point: str
    state: CounterState


def estate_key(state_dir: Path) -> bytes:
    """The key that tokens of cards and plates are made with; made at the first start. Raises AnjuError.

    All boxes of an estate share one, and whoever manages it keeps a copy: without it the tokens of a new box differ.
    """
    path = state_dir / KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        text = path.read_bytes().decode("ascii", "replace")
    except OSError as e:
        raise AnjuError(f"the estate's key {path} cannot be used: {e}. Check the rights of the state folder.") from e
    try:
        return parse_key(text)
    except AnjuError as e:
        raise AnjuError(
            f"{path} is damaged. Put the estate's key back from where the manager keeps it (`anju estate-key take`);\n"
            "    if there is no copy, move the file away: cards and plates get other tokens from then on."
        ) from e


def _make_key(path: Path) -> None:
    """Makes a key unless there is one: two processes that start at once use the same. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        _write(fresh, os.urandom(KEY_BYTES))
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def _write(path: Path, key: bytes) -> None:
    """Puts a key on disk for whoever owns the folder, also where root does it. Raises OSError."""
    write_durably(path, base64.b32encode(key) + b"\n")
    folder = path.parent.stat()
    if os.geteuid() == 0 != folder.st_uid:  # the service itself may change no owner, and need not
        os.chown(path, folder.st_uid, folder.st_gid)


def estate_key_or_other(state_dir: Path) -> bytes:
    """The estate's key; where it cannot be used, one that lasts as long as this run, and an error that says so.

    A box that does not start sees no fire: rather tokens that nobody can compare.
    """
    try:
        return estate_key(state_dir)
    except AnjuError as e:
        log.error("cards and plates get tokens of no use until the estate's key is mended", problem=str(e))  # noqa: TRY400
        return os.urandom(KEY_BYTES)


def put_estate_key(state_dir: Path, text: str) -> None:
    """Takes the key of the estate's other boxes, as `anju estate-key show` prints it. Raises AnjuError."""
    key = parse_key(text)
    try:
        _write(state_dir / KEY_FILE, key)
    except OSError as e:
        raise AnjuError(f"the key cannot be kept in {state_dir}: {e.strerror or e}. Check its rights and room.") from e


def show_key(key: bytes) -> str:
    """A key as people can write it down: groups of four."""
    text = base64.b32encode(key).decode().rstrip("=")
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def parse_key(text: str) -> bytes:
    """The key in a text; spaces and case do not count. Raises AnjuError without repeating it."""
    plain = "".join(text.split()).upper().rstrip("=")
    try:
        key = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except ValueError:  # also of characters that are no ASCII
        key = b""
    if len(key) != KEY_BYTES:
        raise AnjuError("that is no estate key: it is 52 letters and digits, as `anju estate-key show` prints it.")
    return key


def load_counters(state_dir: Path) -> Counters:
    """What counters had come to when they were last kept. A file that makes no sense is left aside, and said."""
    path = state_dir / COUNTERS_FILE
    try:
        with path.open("rb") as file:
            kept = from_json(file.read(_MAX_COUNTERS_BYTES), list[_Kept])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as e:
        log.warning("what counters had come to cannot be read; they go on from what the devices say", problem=str(e))
        return {}
    return {(one.device, one.point): one.state for one in kept}


def keep_counters(state_dir: Path, counters: Mapping[tuple[str, str], CounterState]) -> None:
    """Puts what counters have come to on disk. Raises OSError."""
    kept = [_Kept(device, point, state) for (device, point), state in sorted(counters.items())]
    write_durably(state_dir / COUNTERS_FILE, msgspec.json.encode(kept))
