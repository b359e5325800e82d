"""How long each sounder was told to sound, so that no short noise ends a long one. Pure."""

import math
from collections.abc import Iterable

import msgspec

from edge.linkage.plan import Act

_S = 1_000_000_000


class Sounding:
    """The sounders that were told to sound for a time.

    A sounder that is told anew forgets what it was told before: half a minute for the guard must not end the ten
    minutes that call people out of the house.
    """

    def __init__(self) -> None:
        self._until_ns: dict[str, int] = {}

    def longest(self, act: Act, now_ns: int) -> Act:
        """The act, for as long as its sounder was told to sound already, if that is longer; any other act as it is."""
        seconds = act.args.get("seconds")
        if act.do != "sound" or not isinstance(seconds, int | float):
            return act
        until_ns = self._until_ns.get(act.device, 0)
        if until_ns > now_ns + round(seconds * _S):
            return msgspec.structs.replace(act, args={**act.args, "seconds": math.ceil((until_ns - now_ns) / _S)})
        self._until_ns[act.device] = now_ns + round(seconds * _S)
        return act

    def forget(self, acts: Iterable[Act]) -> None:
        """They were silenced, or nobody makes them sound any more if they have not begun."""
        for act in acts:
            self._until_ns.pop(act.device, None)
