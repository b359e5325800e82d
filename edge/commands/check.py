"""Whether this box may and can do what a command asks. Pure."""

from collections.abc import Mapping

from contract.errors import Permanent
from contract.kinds import KINDS, PointType
from contract.messages import Command
from contract.profile import Args
from contract.site import ResolvedDevice

MAX_TEXT = 200
"""Longer texts are read by nobody on a display."""
TOO_LATE = "it came too late: its time to be done had passed"
NO_TIME = "this box does not know the time: the cloud has not told it within the last 24 hours"


def check_command(command: Command, devices: Mapping[str, ResolvedDevice]) -> str:
    """Why a command is refused, as a sentence; empty when nothing speaks against it."""
    item = devices.get(command.device)
    if item is None:
        return f"this box has no device {command.device!r}"
    standard = KINDS[item.profile.kind].points.get(command.point)
    mapped = item.profile.points.get(command.point)
    if standard is None or mapped is None:
        return f"{command.device!r} has no command {command.point!r}"
    write = mapped.write
    if write is None or not (standard.type is PointType.COMMAND or standard.commandable):
        return f"{command.point!r} of {command.device!r} cannot be commanded"
    try:
        write.given(command.args)
        _check_types(command.args)
    except Permanent as e:
        return f"{command.point!r} of {command.device!r}: {e}"
    return ""


def _check_types(args: Args) -> None:
    """What the vocabulary says of arguments, whatever the model does with them. Raises Permanent."""
    for name, value in args.items():
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if name == "seconds" and not (is_whole or (isinstance(value, float) and value.is_integer())):
            raise Permanent(f"{name!r} must be a whole number, it is {value!r}")
        if name == "on" and not (isinstance(value, bool) or value in {0, 1}):
            raise Permanent(f"{name!r} must be true or false, it is {value!r}")
        if name == "text" and not (isinstance(value, str) and len(value) <= MAX_TEXT):
            raise Permanent(f"{name!r} must be text of at most {MAX_TEXT} characters")


def deadline_of(command: Command, utc_ns: int | None, now_ns: int) -> int:
    """The monotonic time after which a command must not be done: the box's own clock is not moved by anyone.

    `utc_ns` is the cloud's time at `now_ns`, None when it is not known. Raises Permanent with a sentence when the
    command must not be done now.
    """
    if utc_ns is None:
        raise Permanent(NO_TIME)
    if utc_ns > command.not_after_ns:
        raise Permanent(TOO_LATE)
    return now_ns + command.not_after_ns - utc_ns
