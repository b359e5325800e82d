"""From a changed register to the row in a real browser's page, hop by hop, on the whole system.

The moments: the simulator changes the register (its log); the simulator answers the first poll after it (its log);
the browser's page has the row (a MutationObserver in the page, on the same machine's clock). What lies between poll
and page is our software: driver, outbox with its fsync, uplink, ingest with its commit, wake-up, stream, request,
rendering, DOM.
"""

import asyncio
import random
import time
from pathlib import Path

from contract.clock import mono_ns
from simulators.log import Answer, Change, read_log
from tests.bench.figures import Figure, percentile
from tests.support.system import chromium, logged_in, quiet_system, set_point

ROUNDS = 300
SEED = 20261124
POLL_S = 0.25
_WATCH = """
() => {
  window.seen = [];
  const note = (row) => window.seen.push([Date.now() / 1000, row.querySelector('.where').textContent, row.className]);
  new MutationObserver(() => document.querySelectorAll('#alarm-list li.alarm').forEach(note))
    .observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['class']});
}
"""
_FIRST = """
([place, since]) => {
  const hit = window.seen.find(([at, where, names]) => at >= since && where.includes(place) && names.includes('unack'));
  return hit ? hit[0] : null;
}
"""


async def smoke_to_page(folder: Path) -> list[Figure]:
    """p50 and p99 of change → page and of poll → page over ROUNDS alarms at random moments of the poll."""
    dice = random.Random(SEED)
    detectors = [f"smoke-3-2-0{n}" for n in range(1, 9)]
    shown: list[tuple[str, float, float]] = []
    async with quiet_system(folder) as demo, chromium() as browser, logged_in(browser, demo) as page:
        for n in range(ROUNDS):
            detector = detectors[n % len(detectors)]
            place = f"3号楼2单元{int(detector[-2:])}层"
            await asyncio.sleep(dice.uniform(0, 2 * POLL_S))
            await page.evaluate(_WATCH) if n == 0 else await page.evaluate("() => { window.seen = []; }")
            since = time.time()
            await set_point(demo, detector, "smoke", "smoke")
            at = None
            while at is None:
                if time.time() - since > 30:
                    raise RuntimeError(f"the alarm of {detector} never came to the page (round {n})")
                await asyncio.sleep(0.02)
                at = await page.evaluate(_FIRST, [place, since])
            shown.append((detector, since, float(at)))
            await set_point(demo, detector, "smoke", "clear")
            if n % len(detectors) == len(detectors) - 1:
                await asyncio.sleep(2 * POLL_S)
        entries = read_log(demo.truth)
    offset = time.time() - mono_ns() / 1e9
    polls = [e for e in entries if isinstance(e, Answer) and e.bus == "panel-west" and e.table == "discrete_input"]
    changes = [e for e in entries if isinstance(e, Change) and e.value == "smoke" and e.point == "smoke"]
    whole, ours = [], []
    i = 0
    for (detector, since, at), change in zip(shown, changes, strict=True):
        assert change.device == detector
        while polls[i].read_ns < change.mono_ns:
            i += 1
        whole.append((at - (change.mono_ns / 1e9 + offset)) * 1000)
        ours.append((at - (polls[i].mono_ns / 1e9 + offset)) * 1000)
        assert whole[-1] > 0, (detector, since)
    note = f"{ROUNDS} alarms, {POLL_S * 1000:.0f} ms poll, Chromium, plain PostgreSQL, fsync on"
    ours_note = "our software: poll's answer to DOM"
    return [
        Figure(name="smoke_to_page.change_to_page_p50", value=percentile(whole, 50), unit="ms", note=note),
        Figure(name="smoke_to_page.change_to_page_p99", value=percentile(whole, 99), unit="ms", note=note, most=1000),
        Figure(name="smoke_to_page.poll_to_page_p50", value=percentile(ours, 50), unit="ms", note=ours_note),
        Figure(name="smoke_to_page.poll_to_page_p99", value=percentile(ours, 99), unit="ms", note=ours_note, most=150),
    ]
