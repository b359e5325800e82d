"""What linkage must not forget over a restart: one small file, written whole, never waited for by an act."""

from pathlib import Path

import msgspec
import structlog

from contract.decoding import from_json
from edge.disk import write_durably
from edge.linkage.orders import Kept

log = structlog.get_logger(__name__)

MAX_BYTES = 1 << 20
"""What is longer is none of ours, and cut off it is no JSON."""


def load(path: Path) -> Kept:
    """What was kept; nothing where there is no file, or one that cannot be used."""
    try:
        with path.open("rb") as file:
            return from_json(file.read(MAX_BYTES), Kept)
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.MsgspecError) as e:
        log.warning("what linkage kept cannot be read; it begins anew", file=str(path), problem=str(e))
        return Kept()


def save(path: Path, kept: Kept) -> None:
    """Keeps it, on disk when this returns. Raises OSError."""
    write_durably(path, msgspec.json.encode(kept))
