"""`--once`: follows a smoke alarm through every stage, then what a second one brings; checks and measures each hop."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.table import Table

from contract.clock import mono_ns
from contract.errors import AnjuError
from simulators.demo.browser import Browser, csrf_of
from simulators.demo.estate import ESTATE, Demo
from simulators.demo.linkage import Done, Watched
from simulators.demo.processes import run_once
from simulators.log import Answer, Change, Entry, Write, read_log, read_log_from

DETECTOR = "smoke-3-2-07"
PLACE = "3号楼2单元7层"
_PATIENCE_S = 60.0


class Step(msgspec.Struct, frozen=True):
    """One stage that was seen: what, when (UTC seconds), and since when its hop counts."""

    what: str
    at: float
    since: float | None = None
    limit_s: float | None = None

    @property
    def took_s(self) -> float:
        """Seconds of this hop; 0 where it has none."""
        return 0.0 if self.since is None else self.at - self.since

    @property
    def late(self) -> bool:
        """Whether it took longer than it may."""
        return self.limit_s is not None and self.took_s > self.limit_s


async def follow(demo: Demo) -> list[Step]:
    """Plays the guard: waits for the alarm, acknowledges it, opens the door, then finds it all in the database.

    At a second alarm, of another detector, nobody does anything: the box itself releases the door and sounds.

    Raises AnjuError naming the stage that was not seen in time.
    """
    earlier = await _commands(demo)
    async with Browser.log_in(demo.url, demo.login, demo.password) as browser:
        await _acknowledge_all(browser)  # what an earlier demo left
        page_at, alarm_url, csrf = await _alarm_in_page(browser)
        acked_at = time.time()
        await browser.post(f"{alarm_url}/acknowledge", csrf)
        order = await open_door(browser, alarm_url)
        released, sounded, told_at = await _released(demo, browser, order.page)
    said = await _truth(demo, lambda e: isinstance(e, Change) and (e.device, e.value) == (DETECTOR, "smoke"), "smoke")
    read = await _truth(demo, lambda e: _reads_smoke(e, said), "a poll that reads the smoke")
    told = await _truth(demo, lambda e: isinstance(e, Write) and _utc(e) > order.asked_at, "the order to open")
    alarm, command, readings = await _stored(demo, alarm_url.rpartition("/")[2], earlier)
    stored_at = _time(alarm, "created_at")
    if alarm["state"] != "ACKED" or command["status"] != "executed" or not readings:
        raise AnjuError(f"the database says {alarm['state']}, {command['status']}, {readings} readings")
    return [
        Step("the detector says smoke", _utc(said)),
        Step("the box has read it (poll)", _utc(read), _utc(said), 0.5),
        Step("the alarm is in the database", stored_at, _utc(read), 0.5),
        Step("the alarm is in the page", page_at, stored_at, 0.5),
        Step("all, from smoke to page", page_at, _utc(said), 1.0),
        Step("acknowledged, in the database", _time(alarm, "acked_at"), acked_at, 0.5),
        Step("the door unit has the order", _utc(told), order.asked_at, 0.5),
        Step(f"{order.door}: open, read back, shown", order.shown_at, order.asked_at, 3.0),
        Step(f"{released.trigger}: smoke, too", _utc(released.alarm)),
        Step(f"{released.name}: released by the box itself", _utc(released.write), _utc(released.alarm), 1.0),
        Step(f"{sounded.name}: sounds", _utc(sounded.write), _utc(sounded.alarm), 1.0),
        Step("the release is on the door's page", told_at, _utc(released.write), 3.0),
        Step(f"{readings} series of readings in the database", time.time()),
    ]


async def _acknowledge_all(browser: Browser) -> None:
    part = await browser.get("/alarms/list")
    for path in re.findall(r'hx-post="(/alarms/[0-9a-f-]{36}/acknowledge)"', part):
        await browser.post(path, csrf_of(part))


async def _alarm_in_page(browser: Browser) -> tuple[float, str, str]:
    """Waits for the row as the page does: a wake-up, then the live part again. Returns time, alarm's path, token."""
    pattern = re.compile(rf'href="(/alarms/[0-9a-f-]{{36}})"[^>]*>\s*<b>{PLACE}[^<]*</b>')

    async def look() -> tuple[float, str, str] | None:
        part = await browser.get("/alarms/list")
        for row in part.split("<li ")[1:]:
            found = pattern.search(row)
            if found and "unack" in row.split(">")[0]:
                return time.time(), found[1], csrf_of(row)
        return None

    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for _ in browser.changes("alarms"):
                if seen := await look():
                    return seen
    except TimeoutError:
        pass
    raise AnjuError(f"no alarm of {PLACE} came to the page within {_PATIENCE_S:.0f} s")


class Order(msgspec.Struct, frozen=True):
    """The order to open a door: which, the live part of its page, when it was asked and when the page said that it was
    done (UTC seconds)."""

    door: str
    page: str
    asked_at: float
    shown_at: float


async def open_door(browser: Browser, alarm_url: str) -> Order:
    """Opens the door that the alarm's page offers first, and waits for the answer to this very order."""
    report = await browser.get(f"{alarm_url}/report")
    found = re.search(r'href="/devices/(\d+)"><b>([^<]*)</b>', report.partition('id="doors-title"')[2])
    if found is None:
        raise AnjuError("the alarm's page offers no door to open")
    device, name = found[1], found[2].strip()
    page = f"/devices/{device}/live"
    before = newest_answer(await browser.get(page))
    question = await browser.get(f"/devices/{device}/ask/unlock")
    asked_at = time.time()
    await browser.post(f"/devices/{device}/commands/unlock", csrf_of(question))
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        answer = newest_answer(await browser.get(page))
        if answer != before and answer is not None and answer.tone == "done":
            return Order(name, page, asked_at, time.time())
        if answer != before and answer is not None and answer.tone != "wait":
            raise AnjuError(f"the page of {name} says of the order to open: {answer.words}")
        await asyncio.sleep(0.02)
    raise AnjuError(f"the page of {name} does not say that it was opened")


async def _released(demo: Demo, browser: Browser, page: str) -> tuple[Done, Done, float]:
    """Waits until the box has released a door and sounded by itself: both orders, and when the door's page told it."""
    watched, done, read = Watched(demo.scenario), dict[str, Done](), 0
    deadline = time.monotonic() + _PATIENCE_S
    while not {"release", "sound"} <= done.keys():
        if time.monotonic() > deadline:
            raise AnjuError(f"the box did not release and sound by itself within {_PATIENCE_S:.0f} s")
        entries, read = await asyncio.to_thread(read_log_from, demo.truth, read)
        done |= {one.do: one for one in watched.take(entries)}
        await asyncio.sleep(0.02)
    since = _utc(done["release"].write)
    while time.monotonic() < deadline:
        if _tells_release(await browser.get(page), since):
            return done["release"], done["sound"], time.time()
        await asyncio.sleep(0.02)
    raise AnjuError("the page of the door does not tell that it was released")


_RELEASE = re.compile(r'data-ago="([\d.]+)".*?消防释放：已执行')
_CLOCKS_APART_S = 1.0
"""The page has the box's time, which comes from the cloud."""


def _tells_release(live: str, since: float) -> bool:
    """Whether the live part of a door's page tells of a release since then (UTC seconds), not of an earlier one."""
    lines = live.partition('id="events-title"')[2].split("<li>")
    return any((found := _RELEASE.search(line)) and float(found[1]) > since - _CLOCKS_APART_S for line in lines)


class PageAnswer(msgspec.Struct, frozen=True):
    """What a device's page says of an order: since when (as the page writes it), in which tone, in which words."""

    at: str
    tone: str
    words: str


_ANSWER = re.compile(
    r'<li><span class="at"><time datetime="([^"]*)".*?<span class="said (\w*)">([^<]*)</span>', re.DOTALL
)


def newest_answer(live: str) -> PageAnswer | None:
    """What the live part of a device's page says of its newest order, which stands first; None where it had none."""
    found = _ANSWER.search(live.partition('id="answers-title"')[2])
    return None if found is None else PageAnswer(*found.groups())


async def _truth(demo: Demo, matches: Callable[[Entry], bool], what: str) -> Entry:
    """The first entry of the simulator's log that matches."""
    for entry in await asyncio.to_thread(read_log, demo.truth):
        if matches(entry):
            return entry
    raise AnjuError(f"the simulated devices never saw {what}")


def _reads_smoke(entry: Entry, said: Entry) -> bool:
    """Whether this answered a poll of the detectors' inputs after the smoke began."""
    return (
        isinstance(entry, Answer)
        and entry.table == "discrete_input"
        and entry.read_ns > said.mono_ns
        and any(entry.values)
    )


def _utc(entry: Entry) -> float:
    """UTC seconds of an entry, by this machine's clock of now."""
    return time.time() - (mono_ns() - entry.mono_ns) / 1e9


async def _history(demo: Demo) -> list[dict[str, Any]]:
    """What another process reads from the database: alarms, commands and readings, the newest first."""
    environment = {"DATABASE_URL": demo.database_url}
    printed = await run_once("anju-cloud", "history", "--estate", ESTATE, environment=environment)
    return [json.loads(line) for line in printed.splitlines()]


async def _commands(demo: Demo) -> set[str]:
    return {line["id"] for line in await _history(demo) if line["what"] == "command"}


async def _stored(demo: Demo, alarm: str, earlier: set[str]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The alarm and the command that is not one of the earlier, as stored, and how many series have readings."""
    lines = await _history(demo)
    found = [line for line in lines if line["what"] == "alarm" and line["id"] == alarm]
    commands = [line for line in lines if line["what"] == "command" and line["id"] not in earlier]
    if not found or not commands:
        raise AnjuError("the database does not have the alarm and the command that the page shows")
    return found[0], commands[0], sum(line["what"] == "reading" for line in lines)


def _time(row: dict[str, Any], column: str) -> float:
    return datetime.fromisoformat(row[column]).timestamp()


def table(steps: Sequence[Step]) -> Table:
    """The steps for a person: what, when, how long after the step before it, and the limit."""
    shown = Table(title="One smoke alarm, end to end, and a second one", title_justify="left")
    for heading in ("what", "when"):
        shown.add_column(heading)
    for heading in ("took", "limit"):
        shown.add_column(heading, justify="right")
    for step in steps:
        when = datetime.fromtimestamp(step.at).astimezone().strftime("%H:%M:%S.%f")[:-3]
        took = "" if step.since is None else f"{step.took_s * 1000:.0f} ms"
        limit = "" if step.limit_s is None else f"{step.limit_s * 1000:.0f} ms"
        shown.add_row(step.what, when, took, limit, style="bold red" if step.late else "")
    return shown
