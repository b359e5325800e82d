"""`anju-sim demo`: starts the system, tells what happens in words, stops it all on Ctrl-C."""

import asyncio
import os
import time
from pathlib import Path

from rich.console import Console

from contract.errors import AnjuError
from contract.service import until_stopped
from simulators.demo.browser import Browser
from simulators.demo.estate import Demo, Say, start
from simulators.demo.once import follow, table


async def run(folder: Path, *, once: bool) -> int:
    """Runs the demo until stopped, or with `once` until every stage was seen. Returns the exit code."""
    console = Console(highlight=False)
    began = time.monotonic()

    def say(part: str, doing: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  [bold]{part:<9}[/bold] {doing}", soft_wrap=True)

    console.print("[bold]Anju 安居[/bold]: an estate in simulation, a box, the cloud and its console\n")
    stopped = asyncio.create_task(until_stopped(), name="stop")
    try:
        async with start(folder, say, database_url=os.environ.get("DATABASE_URL", "")) as demo:
            console.print(
                f"\n  Open  [bold]{demo.url}[/bold]"
                f"   login [bold]{demo.login}[/bold]   password [bold]{demo.password}[/bold]\n",
                soft_wrap=True,
            )
            work = _check(demo, console) if once else _show(demo, say)
            working = asyncio.create_task(work, name="demo")
            watching = [asyncio.create_task(child.ended(), name=child.name) for child in demo.children]
            try:
                await asyncio.wait((working, stopped, *watching), return_when=asyncio.FIRST_COMPLETED)
                for task in (working, *watching):
                    if task.done():
                        return task.result() or 0
                return 130 if once else 0
            finally:
                for task in (working, *watching):
                    task.cancel()
                await asyncio.gather(working, *watching, return_exceptions=True)
    except AnjuError as e:
        console.print(f"\n[bold red]The demo failed:[/bold red] {e}", soft_wrap=True, markup=True)
        return 1
    finally:
        stopped.cancel()


async def _check(demo: Demo, console: Console) -> int:
    steps = await follow(demo)
    console.print(table(steps))
    late = [step.what for step in steps if step.late]
    if late:
        console.print(f"[bold red]Too slow:[/bold red] {', '.join(late)}")
    else:
        console.print("Every stage was seen, each within its limit.")
    return 1 if late else 0


async def _show(demo: Demo, say: Say) -> int:
    """Tells what the devices do and when the console shows it, for ever."""
    told = 0
    log = demo.children[1].log
    async with Browser.log_in(demo.url, demo.login, demo.password) as browser:
        listening = asyncio.create_task(_tell_changes(browser, say), name="live")
        try:
            while not listening.done():
                lines = log.read_text(errors="replace").splitlines()
                for line in lines[told:]:
                    say("devices", line.strip())
                told = len(lines)
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
