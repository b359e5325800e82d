"""What linkage shows of its zones, and what a person may ask of it, as the guard page sees it."""

from enum import StrEnum
from typing import Protocol

import msgspec


class Phase(StrEnum):
    """How a zone is."""

    QUIET = "quiet"
    ALERT = "alert"
    """A trigger, not confirmed by a second one."""
    CONFIRMED = "confirmed"
    """Enough independent triggers agreed. A fire stays so until a person resets it."""


class Mode(StrEnum):
    """What is not as usual in a zone, for a limited time."""

    DRILL = "drill"
    """Everything is done, and marked as a drill."""
    SILENT_DRILL = "silent_drill"
    """Nothing is done, only recorded; one trigger more than the rule needs is taken for a real fire."""
    DRY_RUN = "dry_run"
    """Nothing is done whatever is triggered, only recorded: for putting a zone into service."""

    @property
    def acts(self) -> bool:
        """Whether actions are done."""
        return self is Mode.DRILL


class Doubt(StrEnum):
    """Why a device does not count as triggered, whatever it says."""

    NONE = ""
    UNSEEN = "unseen"
    """Nothing was heard of it since the box started."""
    OFFLINE = "offline"
    FAULT = "fault"
    STALE = "stale"
    TESTING = "testing"


class Mute(StrEnum):
    """Why nothing on the spot sounds for an alarm while the cloud cannot be reached."""

    NONE = ""
    """Something is told to sound."""
    NO_SOUNDER = "no_sounder"
    """Nobody configured anything that could."""
    MODE = "mode"
    """A drill or dry run without actions is under way in its zone."""


class Noise(StrEnum):
    """For which fire and gas alarms something sounds on the spot while the cloud cannot be reached."""

    ALL = "all"
    SOME = "some"
    """Those of zones whose own rules sound at a first trigger."""
    NONE = "none"


class TriggerView(msgspec.Struct, frozen=True):
    """A device that can trigger: since when it is in alarm, or why it would not count.

    `is_lost`: in alarm, and counted, because it was when it was lost; `doubt` says how. `mute`: why its alarm is heard
    nowhere while the cloud cannot be reached.
    """

    device: str
    name: str
    place: str
    hazard: str
    zone: str
    is_alarm: bool
    since_ns: int
    doubt: Doubt
    is_lost: bool = False
    mute: Mute = Mute.NONE


class ActView(msgspec.Struct, frozen=True):
    """Something that was begun in a zone: how often it was tried, and what came of it last.

    `is_held`: it is done again when it is undone, for as long as what it was done for lasts.
    """

    rule: str
    device: str
    name: str
    do: str
    status: str
    tries: int
    why: str
    mono_ns: int
    is_held: bool = False


class ZoneView(msgspec.Struct, frozen=True):
    """A zone at this moment. `is_restored` marks what was confirmed before a restart and not seen again since.

    `hazards`: what is in alarm or confirmed there, of what its rules are about.
    `blind_for`: hazards that a rule of it could not confirm now, so many of its triggers do not count.
    """

    id: str
    name: str
    phase: Phase
    since_ns: int
    is_restored: bool
    triggers: list[TriggerView]
    acts: list[ActView]
    mode: Mode | None
    mode_until_ns: int
    has_rules: bool
    may_drill_silently: bool
    may_release: bool
    may_silence: bool
    blind_for: list[str] = []
    hazards: list[str] = []

    @property
    def uncounted(self) -> list[TriggerView]:
        """The triggers that would not count, whatever they said."""
        return [trigger for trigger in self.triggers if trigger.doubt and not trigger.is_lost]


class Happening(msgspec.Struct, frozen=True):
    """Something that linkage did or saw."""

    mono_ns: int
    zone: str
    device: str
    action: str
    status: str
    mode: str
    by: str
    why: str


class GuardView(msgspec.Struct, frozen=True):
    """Everything the guard page shows; times are monotonic. `utc_ns` is the time at `now_ns`, None when not known.

    `noise`: what is made heard on the spot while the cloud cannot be reached, None where nothing here tells of
    fire or gas; `acts`: what was told to sound for that, which a person may silence where `may_silence`.
    """

    estate: str
    now_ns: int
    utc_ns: int | None
    timezone: str
    is_connected: bool
    connected_since_ns: int
    is_cut_off: bool
    alarms: list[TriggerView]
    doubtful: list[TriggerView]
    zones: list[ZoneView]
    happenings: list[Happening]
    noise: Noise | None = None
    acts: list[ActView] = []
    may_silence: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """Why something is not done, in both languages."""

    zh: str
    en: str


class Guarded(Protocol):
    """What the guard page asks of linkage. Each act is recorded; a Refusal says why nothing was done."""

    @property
    def estate(self) -> str:
        """What the estate is called."""

    def view(self) -> GuardView:
        """How everything is now."""

    def silence(self, zone: str) -> Refusal | None:
        """Silences the zone's sounders; the alarm stays, and a further trigger sounds again."""

    def reset(self, zone: str) -> Refusal | None:
        """Ends what is confirmed, when its triggers do not say so any more."""

    def release(self, zone: str) -> Refusal | None:
        """Releases what the zone's rules would release, now."""

    def start(self, zone: str, mode: Mode, minutes: int) -> Refusal | None:
        """Begins a drill or a dry run, which ends by itself."""

    def stop(self, zone: str) -> Refusal | None:
        """Ends it before its time."""
