"""View of the gateway list."""

from collections.abc import Iterator, Sequence

import msgspec

from cloud.console.data import GatewayRow, SessionState, SilentGateway
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.points import number
from cloud.console.words.times import Moment, moment

SESSION_WORDS = {
    SessionState.ONLINE: N_("connected", "session"),
    SessionState.OFFLINE: N_("not connected", "session"),
    SessionState.NEVER: N_("never seen", "session"),
    SessionState.REVOKED: N_("revoked", "session"),
}
TONES = {
    SessionState.ONLINE: "normal",
    SessionState.OFFLINE: "fault",
    SessionState.NEVER: "unknown",
    SessionState.REVOKED: "odd",
}


class GatewayLine(msgspec.Struct, frozen=True):
    """One box in words."""

    id: str
    name: str
    estate: str
    session: str
    tone: str
    seen: Moment | None
    backlog: str
    clock: str
    version: str
    devices: int
    url: str
    troubles: tuple[str, ...]


class SilentLine(msgspec.Struct, frozen=True):
    """A box that says nothing: `devices` says of how many nobody knows, `since` is None where it was never heard."""

    id: str
    name: str
    estate: str
    since: Moment | None
    devices: str


def silent_lines(voice: Voice, rows: Sequence[SilentGateway]) -> tuple[SilentLine, ...]:
    """The boxes from which nothing comes, as given."""
    return tuple(
        SilentLine(
            id=row.id,
            name=row.name,
            estate=row.estate,
            since=moment(voice, row.seen_at) if row.seen_at else None,
            devices=voice.t.n(
                "the state of %(n)s device is unknown", "the states of %(n)s devices are unknown", row.devices
            )
            if row.devices
            else "",
        )
        for row in rows
    )


def gateway_lines(voice: Voice, rows: Sequence[GatewayRow]) -> tuple[GatewayLine, ...]:
    """The boxes that two speak as and those that are not connected first, then as given."""
    ordered = sorted(rows, key=lambda row: (not row.shared, row.session is not SessionState.OFFLINE))
    return tuple(_line(voice, row) for row in ordered)


def _line(voice: Voice, row: GatewayRow) -> GatewayLine:
    return GatewayLine(
        id=row.id,
        name=row.name,
        estate=row.estate,
        session=voice.t.p("session", SESSION_WORDS[row.session]),
        tone=TONES[row.session],
        seen=moment(voice, row.last_seen_at) if row.last_seen_at else None,
        backlog=_backlog(voice, row.backlog),
        clock=_clock(voice, row),
        version=row.version or "—",
        devices=row.devices,
        url=f"/gateways/{row.id}",
        troubles=tuple(_troubles(voice, row)),
    )


def _troubles(voice: Voice, row: GatewayRow) -> Iterator[str]:
    """What somebody should look at on the box's own page."""
    if row.shared:
        yield voice.t("two speak as one")
    if row.lost:
        yield voice.t("gave up data")
    if row.quarantined:
        yield voice.t.n("%(n)s block not stored", "%(n)s blocks not stored", row.quarantined)


def _backlog(voice: Voice, blocks: int | None) -> str:
    if blocks is None:
        return "—"
    return voice.t.n("%(n)s block waits", "%(n)s blocks wait", blocks) if blocks else voice.t("nothing waiting")


def _clock(voice: Voice, row: GatewayRow) -> str:
    if row.clock_error_s is not None:
        return voice.t("right within %(seconds)s s", seconds=number(row.clock_error_s))
    return "—" if row.session is SessionState.NEVER else voice.t("not trusted")
