"""View of blocks that could not be stored."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from cloud.console.data import Readable, Replay, ReplayOutcome, SetAside
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.boxes import stream_word
from cloud.console.words.sizes import size, span
from cloud.console.words.times import Moment, moment

CAME = {
    ReplayOutcome.STORED: N_("Stored: the block is where it belongs now."),
    ReplayOutcome.ALREADY: N_("Somebody was quicker: it is stored already."),
}


class AsideLine(msgspec.Struct, frozen=True):
    """One block. `stored` is when it was stored after all."""

    id: int
    url: str
    what: str
    gateway: str
    gateway_url: str
    estate: str
    size: str
    reason: str
    at: Moment
    stored: Moment | None


class AsideList(msgspec.Struct, frozen=True):
    """The newest blocks; `more` says how many there are beyond them."""

    lines: tuple[AsideLine, ...]
    more: str
    gateway: str
    live_url: str


class Fact(msgspec.Struct, frozen=True):
    """Something that the block says of itself."""

    name: str
    value: str


class AsidePage(msgspec.Struct, frozen=True):
    """One block, what can be read of it, and what may be done."""

    line: AsideLine
    facts: tuple[Fact, ...]
    problem: str


def aside_list(voice: Voice, rows: Sequence[SetAside], count: int, gateway: UUID | None) -> AsideList:
    """The blocks as given."""
    beyond = count - len(rows)
    query = f"?gateway={gateway}" if gateway else ""
    return AsideList(
        tuple(aside_line(voice, row) for row in rows),
        voice.t.n("and %(n)s older one", "and %(n)s older ones", beyond) if beyond > 0 else "",
        rows[0].gateway_name if gateway and rows else "",
        f"/quarantine/list{query}",
    )


def aside_line(voice: Voice, row: SetAside) -> AsideLine:
    """One block in words."""
    return AsideLine(
        id=row.id,
        url=f"/quarantine/{row.id}",
        what=voice.t("%(stream)s, block %(number)s", stream=stream_word(voice, row.stream), number=row.number),
        gateway=row.gateway_name,
        gateway_url=f"/gateways/{row.gateway_id}",
        estate=row.estate,
        size=size(row.bytes),
        reason=row.reason,
        at=moment(voice, row.at),
        stored=moment(voice, row.replayed_at) if row.replayed_at else None,
    )


def aside_page(voice: Voice, row: SetAside, read: Readable) -> AsidePage:
    """One block with what can be read of it."""
    t, head = voice.t, read.header
    facts = []
    if head is not None:
        facts = [
            Fact(t("Stream"), stream_word(voice, head.stream)),
            Fact(t("Chain and number"), f"{head.epoch} / {head.number}"),
            Fact(t("Entries"), str(head.items)),
            Fact(t("Contents"), size(read.body_bytes) if read.body_bytes is not None else t("cannot be read")),
            Fact(t("Run of the machine"), head.boot.hex()[:12]),
            Fact(t("Sealed"), t("%(time)s after its machine started", time=span(voice, head.sealed_ns / 1e9))),
        ]
        if head.inventory:
            facts.append(Fact(t("Inventory"), str(head.inventory)))
    return AsidePage(aside_line(voice, row), tuple(facts), read.problem)


def came_words(voice: Voice, came: Replay) -> str:
    """What to tell who asked for it."""
    if came.outcome is ReplayOutcome.REFUSED:
        return voice.t("Still not: %(reason)s. It stays here.", reason=came.reason.rstrip("."))
    return voice.t(CAME[came.outcome])
