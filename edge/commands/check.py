"""Whether this box may and can do what a command asks. Pure."""

from collections.abc import Mapping

from contract.kinds import KINDS, PointType
from contract.messages import Command
from contract.site import ResolvedDevice

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
    unknown = sorted(set(command.args) - {write.argument})
    if unknown:
        return f"{command.point!r} takes no argument {unknown[0]!r}"
    if write.argument is None:
        return ""
    given = command.args.get(write.argument)
    if given is None:
        return f"{command.point!r} needs the argument {write.argument!r}"
    if isinstance(given, bool | str) or not float(given).is_integer():
        return f"{write.argument!r} must be a whole number, it is {given!r}"
    if not write.minimum <= given <= write.maximum:
        return f"{write.argument!r} must be {write.minimum} to {write.maximum}, it is {given}"
    return ""


def check_time(command: Command, utc_ns: int | None) -> str:
    """Why a command must not be done now, as a sentence; `utc_ns` is the cloud's time, None when it is not known."""
    if utc_ns is None:
        return NO_TIME
    return TOO_LATE if utc_ns > command.not_after_ns else ""
