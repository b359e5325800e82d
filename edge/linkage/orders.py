"""What the rules ask for and tell, and what they must not forget."""

import msgspec

from edge.linkage.plan import Act
from edge.zones import Mode

Key = tuple[str, str, int]
"""An order under way: its rule, which part of the rule it comes from, and its place there."""


class Begin(msgspec.Struct, frozen=True):
    """Do this, again and again until it is read back, not after `until_ns`; it takes the place of what has its key."""

    key: Key
    act: Act
    zone: str
    mode: str
    by: str
    until_ns: int | None = None


class End(msgspec.Struct, frozen=True):
    """Nothing more is to be done for this part of this rule; `do` narrows it to one kind of act."""

    rule: str
    part: str
    sounds_only: bool = False


class Note(msgspec.Struct, frozen=True):
    """Something to be told, at the device that it is about."""

    device: str
    zone: str
    rule: str
    action: str
    status: str
    mode: str
    by: str
    why: str
    mono_ns: int


Output = Begin | End | Note


class KeptRule(msgspec.Struct, frozen=True):
    """What a restart must not forget of a rule that is confirmed; `devices` had alarmed."""

    since_ns: int
    has_acted: bool
    devices: tuple[str, ...] = ()


class KeptMode(msgspec.Struct, frozen=True):
    """What a restart must not forget of a drill or dry run."""

    mode: Mode
    until_ns: int


class Kept(msgspec.Struct, frozen=True):
    """What is kept over a restart; times are of boot `boot`."""

    boot: bytes = b""
    rules: dict[str, KeptRule] = {}
    modes: dict[str, KeptMode] = {}
