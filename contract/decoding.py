"""JSON that somebody else wrote: another machine, or a disk that may be damaged."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def from_json(data: bytes | bytearray | str, model: type[T]) -> T:
    """The message that some JSON holds. Raises msgspec.DecodeError for whatever it is not.

    msgspec itself lets two errors of other kinds through, and who catches its own would be ended by a stranger: that of
    text that is not UTF-8, and that of what is nested too deep.
    """
    try:
        return msgspec.json.decode(data, type=model)
    except UnicodeDecodeError as e:
        raise msgspec.DecodeError(f"text that is not UTF-8: {e.reason}") from None
    except RecursionError:
        raise msgspec.DecodeError("nested too deep") from None
