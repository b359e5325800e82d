"""View of one box."""

from collections.abc import Iterator

import msgspec

from cloud.console.data import Chain, Gateway, Loss, SessionState, StreamNow
from cloud.console.gateways.view import SESSION_WORDS, TONES
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.boxes import loss_words, source_word, stream_word
from cloud.console.words.points import number
from cloud.console.words.sizes import size, span
from cloud.console.words.times import Moment, moment
from contract.session import BusReport, GatewayReport

CLOCK_OFF_S = 5.0
"""A machine's clock that is further off misleads whoever reads its logs, and certificates may fail."""
DISK_LOW = 0.05
REWRITES = 100
"""How often a plain memory card may be written over, all told: 500 times by its maker's word, a fifth of that for
blocks that are smaller than the card's own."""
WEAR_SHORT_S = 2 * 365 * 86400.0
BUDGET_NEAR = 0.9
TROUBLES = {
    "revoked": (
        N_("This gateway was revoked"),
        N_("It takes part no more; what it stored stays."),
        N_("To the gateway that took its place"),
    ),
    "shared": (
        N_("Two gateways speak as this one"),
        N_(
            "A copied memory card or disk, most likely. What both say is stored, but it mixes under the same devices: "
            "no state of these devices can be relied on. Find the second gateway and switch it off. If it is to stay, "
            "enrol it anew: stop it, empty its state folder, and run “anju enrol” with a new claim."
        ),
        "",
    ),
    "perhaps shared": (
        N_("Perhaps two gateways speak as this one"),
        N_(
            "Another chain of its went on in its place. Either its disk was restored from a copy, then all is well; or "
            "a second gateway runs with a copy of it: find that, and enrol one of them anew."
        ),
        "",
    ),
    "silent": (
        N_("Nothing comes from this gateway"),
        N_(
            "No alarm can come from its devices. Go and look on site, and watch the fire-alarm panel; check the "
            "gateway's power and network."
        ),
        "",
    ),
    "memory": (
        N_("Its disk takes nothing"),
        N_(
            "It goes on in memory: what it has not delivered would be lost with its power. Keep it powered, and change "
            "its memory card or disk."
        ),
        "",
    ),
    "disk": (
        N_("Its disk is nearly full"),
        N_("When it is full, the oldest measurements go first. See what fills it besides Anju."),
        "",
    ),
    "held": (
        N_("Measurements are held back"),
        N_(
            "The month's data are used up to the budget. Alarms and states still come at once; measurements follow "
            "when a new month begins, or the budget is raised in its site file."
        ),
        "",
    ),
    "wear": (
        N_("Its disk wears out fast"),
        N_(
            "At this rate a plain memory card lasts about %(time)s. Use an industrial card or an SSD, and see what "
            "writes so much."
        ),
        "",
    ),
    "lost": (
        N_("It had to give up data"),
        N_("What is missing is named below; look at it, and mark it as seen."),
        N_("To what was lost"),
    ),
    "aside": (
        "",
        N_("They are kept. Somebody who manages this estate decides whether they are stored once more or dropped."),
        N_("To these blocks"),
    ),
}
"""What can be wrong: what it is, what it means and what to do, where that is done."""


class Trouble(msgspec.Struct, frozen=True):
    """Something that is wrong, what it means and what to do; `url` leads to where it is done, if that is here."""

    key: str
    title: str
    words: str
    tone: str = "high"
    url: str = ""
    link: str = ""


class Fact(msgspec.Struct, frozen=True):
    """A figure with its name. `at` where it is a time; `tone` is odd where it is not as it should be."""

    name: str
    value: str = ""
    tone: str = ""
    at: Moment | None = None


class StreamLine(msgspec.Struct, frozen=True):
    """A stream of the box."""

    name: str
    waiting: str
    stored: Moment | None
    number: str


class BusLine(msgspec.Struct, frozen=True):
    """A bus of the box. `problem` is empty where nothing is wrong."""

    id: str
    protocol: str
    state: str
    tone: str
    devices: str
    devices_tone: str
    slowest: str
    problem: str


class LossLine(msgspec.Struct, frozen=True):
    """What the box gave up, and who has looked at it."""

    key: int
    at: Moment
    what: str
    why: str
    seen: str


class ChainLine(msgspec.Struct, frozen=True):
    """A chain of blocks, when it began, and why there is one more."""

    key: str
    at: Moment
    what: str
    why: str


class GatewayPage(msgspec.Struct, frozen=True):
    """The page of a box. `unseen` is the newest receipt that nobody has looked at, 0 where there is none."""

    id: str
    url: str
    name: str
    estate: str
    session: str
    tone: str
    seen: Moment | None
    troubles: tuple[Trouble, ...]
    streams: tuple[StreamLine, ...]
    clock: tuple[Fact, ...]
    link: tuple[Fact, ...]
    disk: tuple[Fact, ...]
    box: tuple[Fact, ...]
    buses: tuple[BusLine, ...]
    losses: tuple[LossLine, ...]
    unseen: int
    chains: tuple[ChainLine, ...]
    runs: tuple[Fact, ...]
    reported: Moment | None
    aside: str
    aside_url: str


def gateway_page(voice: Voice, box: Gateway) -> GatewayPage:
    """One box in words."""
    row, report, t = box.row, box.report, voice.t
    return GatewayPage(
        id=row.id,
        url=f"/gateways/{row.id}",
        name=row.name,
        estate=row.estate,
        session=t.p("session", SESSION_WORDS[row.session]),
        tone=TONES[row.session],
        seen=moment(voice, row.last_seen_at) if row.last_seen_at else None,
        troubles=tuple(_troubles(voice, box)),
        streams=tuple(_stream(voice, stream) for stream in box.streams),
        clock=tuple(_clock(voice, box)),
        link=tuple(_link(voice, report)) if report else (),
        disk=tuple(_disk(voice, report)) if report else (),
        box=tuple(_box(voice, box)),
        buses=tuple(_bus(voice, bus) for bus in report.buses) if report else (),
        losses=tuple(_loss(voice, loss) for loss in box.losses),
        unseen=box.unseen.last,
        chains=tuple(_chain(voice, chain) for chain in box.chains),
        runs=tuple(
            Fact(
                t("right within %(time)s", time=span(voice, run.error_s)) if run.error_s is not None else t("no time"),
                source_word(voice, run.source),
                at=moment(voice, run.at),
            )
            for run in box.runs
        ),
        reported=moment(voice, box.reported_at) if box.reported_at else None,
        aside=t.n("%(n)s block could not be stored", "%(n)s blocks could not be stored", row.quarantined)
        if row.quarantined
        else "",
        aside_url=f"/quarantine?gateway={row.id}",
    )


def _troubles(voice: Voice, box: Gateway) -> Iterator[Trouble]:
    """What is wrong, the worst first."""
    t, row, report = voice.t, box.row, box.report

    def trouble(key: str, tone: str = "high", url: str = "", **values: str) -> Trouble:
        title, words, link = TROUBLES[key]
        return Trouble(key, t(title), t(words, **values), tone, url, t(link) if url and link else "")

    if row.session is SessionState.REVOKED:
        yield trouble("revoked", "medium", f"/gateways/{box.replaced_by}" if box.replaced_by else "")
        return
    if row.shared:
        yield trouble("shared")
    elif report and report.is_identity_shared:
        yield trouble("perhaps shared", "medium")
    if row.session is SessionState.OFFLINE:
        yield trouble("silent")
    if report and report.is_in_memory:
        yield trouble("memory")
    elif report and _is_low(report):
        yield trouble("disk", "medium")
    if report and report.is_bulk_held:
        yield trouble("held", "medium")
    for bus in report.buses if report else ():
        if bus.problem or not bus.is_up:
            words = t("Its devices cannot be reached. Check its cable, its converter, and their power.")
            yield Trouble(f"bus {bus.id}", t("Bus %(bus)s has trouble", bus=bus.id), words, "medium")
    if report and (life_s := _life_s(report)) is not None and life_s < WEAR_SHORT_S:
        yield trouble("wear", "medium", time=span(voice, life_s))
    if box.unseen.count:
        yield trouble("lost", "medium", "#losses-title")
    if row.quarantined:
        title = t.n("%(n)s block could not be stored", "%(n)s blocks could not be stored", row.quarantined)
        aside = trouble("aside", "medium", f"/quarantine?gateway={row.id}")
        yield msgspec.structs.replace(aside, title=title)


def _is_low(report: GatewayReport) -> bool:
    return report.disk_total_bytes > 0 and report.disk_free_bytes < DISK_LOW * report.disk_total_bytes


def _life_s(report: GatewayReport) -> float | None:
    """How long a plain card of this size bears what is written a day; None where that is not known."""
    if not report.written_bytes_a_day or not report.disk_total_bytes:
        return None
    return REWRITES * report.disk_total_bytes / report.written_bytes_a_day * 86400


def _stream(voice: Voice, stream: StreamNow) -> StreamLine:
    t = voice.t
    waiting = "—"
    if stream.waiting is not None:
        waiting = t.n("%(n)s block", "%(n)s blocks", stream.waiting) if stream.waiting else t("nothing waiting")
    return StreamLine(
        name=stream_word(voice, stream.stream),
        waiting=waiting,
        stored=moment(voice, stream.stored_at) if stream.stored_at else None,
        number=str(stream.number or ""),
    )


def _clock(voice: Voice, box: Gateway) -> Iterator[Fact]:
    t, report = voice.t, box.report
    error_s = box.row.clock_error_s
    if report and report.clock_source:
        yield Fact(t("Its time"), source_word(voice, report.clock_source))
        error_s = report.clock_uncertainty_ns / 1e9
    if error_s is None:
        yield Fact(t("Right within"), t("not trusted"), "odd")
    else:
        yield Fact(t("Right within"), span(voice, error_s))
    if report and report.machine_clock_off_ns is not None:
        off_s = report.machine_clock_off_ns / 1e9
        words = span(voice, off_s)
        if abs(off_s) >= 0.0005:
            words = t("%(time)s fast", time=words) if off_s > 0 else t("%(time)s slow", time=words)
        yield Fact(t("Its machine's clock"), words, "odd" if abs(off_s) > CLOCK_OFF_S else "")
    elif report:
        yield Fact(t("Its machine's clock"), t("not known"))


def _link(voice: Voice, report: GatewayReport) -> Iterator[Fact]:
    t = voice.t
    if report.budget_bytes:
        part = report.month_bytes / report.budget_bytes
        used = t(
            "%(used)s of %(budget)s (%(percent)s %%)",
            used=size(report.month_bytes), budget=size(report.budget_bytes), percent=f"{100 * part:.0f}",
        )  # fmt: skip
        yield Fact(t("This month"), used, "odd" if part >= BUDGET_NEAR else "")
    else:
        yield Fact(t("This month"), size(report.month_bytes))
    yield Fact(t("Link"), t("metered") if report.is_metered else t("not metered"))
    yield Fact(t("Sent since its start"), size(report.sent_bytes))
    yield Fact(t("Received since its start"), size(report.received_bytes))


def _disk(voice: Voice, report: GatewayReport) -> Iterator[Fact]:
    t = voice.t
    if report.disk_total_bytes:
        free = t("%(free)s of %(total)s", free=size(report.disk_free_bytes), total=size(report.disk_total_bytes))
        yield Fact(t("Free"), free, "odd" if _is_low(report) or report.is_in_memory else "")
    if report.written_bytes_a_day:
        yield Fact(t("Written a day"), size(report.written_bytes_a_day))
    if (life_s := _life_s(report)) is not None:
        long = life_s > 20 * 365 * 86400
        words = t("more than 20 years") if long else t("about %(time)s", time=span(voice, life_s))
        yield Fact(t("A plain card of this size lasts"), words, "odd" if life_s < WEAR_SHORT_S else "")


def _box(voice: Voice, box: Gateway) -> Iterator[Fact]:
    t, report = voice.t, box.report
    yield Fact(t("Version"), box.row.version or "—")
    if report:
        yield Fact(t("Running for"), span(voice, report.uptime_s))
    yield Fact(t("Enrolled"), at=moment(voice, box.enrolled_at))
    if box.site_digest:
        yield Fact(t("Configuration"), box.site_digest[:12])
    yield Fact(t("Number"), box.row.id)
    if box.replaced:
        yield Fact(t("Took the place of"), ", ".join(box.replaced))


def _bus(voice: Voice, bus: BusReport) -> BusLine:
    t = voice.t
    devices = t.n("%(n)s device", "%(n)s devices", bus.devices)
    if bus.silent:
        devices = t("%(devices)s, %(silent)s of them silent", devices=devices, silent=bus.silent)
    return BusLine(
        id=bus.id,
        protocol=bus.protocol,
        state=t.p("bus", "connected") if bus.is_up else t.p("bus", "not connected"),
        tone="normal" if bus.is_up else "fault",
        devices=devices,
        devices_tone="odd" if bus.silent else "normal",
        slowest=f"{number(bus.poll_p99_ms)} ms" if bus.poll_p99_ms else "—",
        problem=bus.problem,
    )


def _loss(voice: Voice, loss: Loss) -> LossLine:
    t = voice.t
    lost = t.n("%(n)s entry", "%(n)s entries", loss.items) if loss.items else t("nobody knows how much")
    seen = ""
    if loss.seen_at:
        seen = t("seen by %(name)s", name=loss.seen_by or "?")
    return LossLine(
        loss.id,
        moment(voice, loss.at),
        t("%(what)s: %(how)s", what=stream_word(voice, loss.stream), how=lost),
        loss_words(voice, loss.reason),
        seen,
    )


def _chain(voice: Voice, chain: Chain) -> ChainLine:
    t = voice.t
    if chain.last_number is not None:
        ended = t.n("ended after %(n)s block", "ended after %(n)s blocks", chain.last_number)
    else:
        ended = t("goes on")
    why = (
        t("its first")
        if chain.is_first
        else t("a new one, since its disk was wiped or restored, the cloud was restored, or two gateways speak as one")
    )
    return ChainLine(
        f"{chain.stream}-{chain.opened_at.timestamp()}",
        moment(voice, chain.opened_at),
        t("%(what)s: %(how)s", what=stream_word(voice, chain.stream), how=ended),
        why,
    )
