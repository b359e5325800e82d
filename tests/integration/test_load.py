"""Simulated boxes at the real cloud: they connect, say what they have to say, and come back when they were cut off."""

import asyncio
from pathlib import Path

from simulators.load.enrol import enrol
from simulators.load.fleet import Fleet
from simulators.load.plan import Plan, read_identities, write_identities
from simulators.load.worker import server_of
from tests.support.cloud import running_cloud

BOXES = 6


async def test_boxes_enrol_connect_and_report(database_plain, tmp_path: Path) -> None:
    async with running_cloud(database_plain.url) as cloud:
        plan = Plan(
            cloud=cloud.url, boxes=str(tmp_path / "boxes"), beat_s=5.0, bulk_s=0.5, urgent_s=0.5, connect_per_s=100
        )
        claims = [await cloud.claim() for _ in range(BOXES)]
        write_identities(tmp_path / "boxes", await enrol(server_of(plan), claims))
        assert (tmp_path / "boxes").stat().st_mode & 0o077 == 0
        assert len(list(read_identities(tmp_path / "boxes"))) == BOXES
        async with Fleet(plan, BOXES, 2) as fleet, asyncio.timeout(60):
            await fleet.until_connected()
            while not {"beat", "bulk", "urgent"} <= fleet.done.ms.keys():
                await fleet.next_second()
            await cloud.rows("DELETE FROM gateway_session")
            while not fleet.done.counts.get("lost"):
                await fleet.next_second()
            fleet.forget()
            await fleet.until_connected()
            while not fleet.done.counts.get("urgent"):
                await fleet.next_second()
        ((opened,),) = await cloud.rows("SELECT count(*) FROM alarm")
        assert opened > 0
        assert await cloud.rows("SELECT count(*) FROM quarantine") == [(0,)]
        assert await cloud.rows("SELECT count(DISTINCT epoch) FROM stream_epoch GROUP BY gateway, stream") == [(1,)] * (
            2 * BOXES
        )
