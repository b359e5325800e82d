"""`anju-sim demo`: starts the system, tells what happens in words, stops it all on Ctrl-C."""

import asyncio
import os
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from contract.errors import AnjuError
from contract.service import until_stopped
from simulators.demo.browser import Browser
from simulators.demo.estate import CLOUD_ENV, Demo, Say, start
from simulators.demo.linkage import Watched
from simulators.demo.once import follow, table
from simulators.demo.processes import script
from simulators.log import read_log_from

_STOPPED_EARLY = 130
"""Exit code of `--once` when it was stopped: as a shell has it for Ctrl-C."""

_LOOK_ROUND_S = 0.5


async def run(folder: Path, *, once: bool) -> int:
    """Runs the demo until stopped, or with `once` until every stage was seen. Returns the exit code."""
    console = Console(highlight=False)
    began = time.monotonic()

    def say(part: str, doing: str) -> None:
        took, name = f"{time.monotonic() - began:6.1f} s", f"{part:<9}"
        console.print(f"[dim]{took}[/dim]  [bold]{name}[/bold] {escape(doing)}", soft_wrap=True)

    console.print("[bold]Anju 安居[/bold]: an estate in simulation, a box, the cloud and its console\n")
    stopped = asyncio.create_task(until_stopped(), name="stop")
    work = asyncio.create_task(_work(folder, console, say, once=once), name="demo")
    try:
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        work.cancel()  # no matter when: also one that is still starting stops what it has started
        await asyncio.wait((work,))
        if work.cancelled():
            return _STOPPED_EARLY if once else 0
        return work.result()
    except AnjuError as e:
        console.print(f"\n[bold red]The demo failed:[/bold red] {escape(str(e))}", soft_wrap=True)
        return 1
    finally:
        stopped.cancel()


async def _work(folder: Path, console: Console, say: Say, *, once: bool) -> int:
    """Starts the system and checks or shows it; fails when a part of it ends."""
    async with start(folder, say, database_url=os.environ.get("DATABASE_URL", "")) as demo:
        console.print(
            f"\n  Open  [bold]{demo.url}[/bold]"
            f"   login [bold]{demo.login}[/bold]   password [bold]{demo.password}[/bold]\n{_guard(demo)}"
            f"{_beside(folder, demo)}"
            f"\n  [bold]Ctrl-C stops it all.[/bold] Its data and logs stay in {escape(str(folder))};"
            f" to start over: rm -rf {escape(str(folder))}\n",
            soft_wrap=True,
        )
        main = asyncio.create_task(_check(demo, folder, console) if once else _show(demo, say), name="show")
        watching = [asyncio.create_task(child.ended(), name=child.name) for child in demo.children]
        try:
            done, _ = await asyncio.wait((main, *watching), return_when=asyncio.FIRST_COMPLETED)
            if main in done and main.exception():  # perhaps because a part ended, and that says why
                done, _ = await asyncio.wait(watching, timeout=_LOOK_ROUND_S, return_when=asyncio.FIRST_COMPLETED)
            for ended in done - {main}:
                ended.result()
            return main.result()
        finally:
            for task in (main, *watching):
                task.cancel()
            await asyncio.gather(main, *watching, return_exceptions=True)


async def _check(demo: Demo, folder: Path, console: Console) -> int:
    steps = await follow(demo)
    console.print(table(steps))
    late = [step.what for step in steps if step.late]
    if late:
        console.print(f"[bold red]Too slow:[/bold red] {escape(', '.join(late))}")
    else:
        console.print("Every stage was seen, each within its limit.")
    console.print(
        "The fire that the box confirmed stands until it is reset on its guard page, also at the next start of this"
        f" folder; to start over: rm -rf {escape(str(folder))}", soft_wrap=True,
    )  # fmt: skip
    return 1 if late else 0


def _guard(demo: Demo) -> str:
    """Where the guard page is, as it works without the cloud too."""
    if demo.guard is None:
        return ""
    url, password = demo.guard.url, demo.guard.password
    return (
        f"  Guard [bold]{url}[/bold]   password [bold]{password}[/bold]   (the box's own page, without the cloud too)\n"
    )


def _beside(folder: Path, demo: Demo) -> str:
    """What a second terminal can do: change or break a device, and claim a box of one's own."""
    tool = escape(os.path.relpath(script("anju-sim")[-1]))
    control, cloud = escape(str(demo.control)), escape(str(folder / CLOUD_ENV))
    return (
        f"\n  Beside it, in a second terminal:"
        f"\n    {tool} set smoke-3-2-04 smoke smoke --control {control}   (or: fail door-3-2 silent --control …)"
        f"\n    a box of your own at this cloud: see simulators/README.md (with {cloud})\n"
    )


async def _show(demo: Demo, say: Say) -> int:
    """Tells what the devices do, what the box does by itself and when the console shows it, for ever."""
    _, estate, _ = demo.children
    told = read = 0
    watched = Watched(demo.scenario)
    async with Browser.log_in(demo.url, demo.login, demo.password) as browser:
        listening = asyncio.create_task(_tell_changes(browser, say), name="live")
        try:
            while not listening.done():
                lines = estate.log.read_text(errors="replace").splitlines()
                for line in lines[told:]:
                    say("devices", line.strip())
                told = len(lines)
                entries, read = await asyncio.to_thread(read_log_from, demo.truth, read)
                for done in watched.take(entries):
                    say("linkage", done.words)
                await asyncio.sleep(0.2)
            listening.result()
        finally:
            listening.cancel()
    raise AnjuError("the console's live stream ended")


async def _tell_changes(browser: Browser, say: Say) -> None:
    async for event in browser.changes("alarms"):
        if event == "change":
            part = await browser.get("/alarms/list")
            active = part.partition('class="ended"')[0].count('<li class="alarm')
            say("console", f"the alarm page changed by itself: {active} active")
