"""What a rule is shown, what it remembers of a source, and what it finds. A memory is a row of table `condition`."""

from datetime import UTC, datetime, timedelta

import msgspec

from cloud.alarms.rules.model import Fields

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def us_of(at: datetime) -> int:
    """A time as whole microseconds since 1970."""
    return (at - _EPOCH) // _US


def time_of(us: int) -> datetime:
    """The time so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=us)


class Seen(msgspec.Struct, frozen=True):
    """One thing seen of a source: a state's word, a number, or an event (any value, with its fields).

    None as value: it is lost, or not good; that neither raises nor clears. `before` is for rules on changes: a reading
    of this source from which it has hardly moved since (Bands keeps it). For k of n `member` names who said it, and
    `kind` what that is.
    """

    at: datetime
    value: float | str | None
    fields: Fields = {}
    before: tuple[datetime, float] | None = None
    member: str = ""
    kind: str = ""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several that agree: since when, until when if it is an event, and as what it counts."""

    since_us: int
    until_us: int = 0
    kind: str = ""


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule remembers beyond the columns of its row; kept as JSON."""

    heard_us: int = 0
    """When the newest thing was seen that changed anything; what is older is history."""
    value: float | str | None = None
    """What was seen then."""
    raw: int = 0
    """The stage by the last value, whatever delays and schedule say."""
    beyond_us: tuple[int, ...] = ()
    """Since when each stage beyond the pending one is on its way."""
    holds_us: int = 0
    """What is pending is old news that waits for its own end: since when it has held."""
    edge_us: int = 0
    """When the schedule begins or ends to count next, where that matters."""
    times_us: tuple[int, ...] = ()
    """When it happened."""
    inside: bool = False
    """Whether a state whose changes are counted is in one of the words."""
    last: tuple[int, float] | None = None
    """The newest reading of a number whose change counts."""
    window: tuple[tuple[int, float], ...] = ()
    """Until when it had which values before that, as far as they can still be the least (the most) of the window."""
    parts: dict[str, Part] = {}
    """Who agrees."""


class Memory(msgspec.Struct, frozen=True):
    """What a rule remembers of a source."""

    stage: int = 0
    """The stage that holds; 0: none."""
    pending: int | None = None
    """The stage that will hold if nothing comes between."""
    since: datetime | None = None
    """When that began."""
    due_at: datetime | None = None
    """When to look again, whether or not anything was seen."""
    kept: Kept = Kept()

    @property
    def is_at_rest(self) -> bool:
        """Whether there is nothing to remember: no row."""
        return self == REST


REST = Memory()


class Verdict(msgspec.Struct, frozen=True):
    """From `at` on this stage holds (0: it is over), by what was seen.

    With `until` it was over again when it was heard of: history, that pages nobody (ARCHITECTURE.md, decision 9). The
    stage that holds already: it happened once more.
    """

    stage: int
    at: datetime
    value: float | str | None
    until: datetime | None = None


class Judged(msgspec.Struct, frozen=True):
    """What a rule remembers from now on, and what it found, in order of time."""

    memory: Memory
    verdicts: tuple[Verdict, ...] = ()
