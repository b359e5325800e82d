"""Two boxes under one identity, as a copied memory card makes them: what both say is stored, and both are told. And one
box whose disk was wiped but for its identity.

Two real boxes run from copies of one state folder, each with an estate and a boot of its own, as two machines have.
What is held: each box's chain goes on under an epoch of its own, so nothing of either is lost or taken for the other's;
within a minute both boxes say so, the cloud's page does, and the audit log has it. States of the two mix under the same
devices: only people can tell which of them is which.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from contract.session import BEAT_PATH, Beat, BeatReply
from simulators.control import SetOrder
from simulators.demo.processes import Child, free_port, launched, run_once, tail
from tests.faults.life import Control
from tests.support.cloud import Box, RunningCloud, running_cloud
from tests.support.servers import Database

SITE = """
estate: {{name: 双胞小区, timezone: Asia/Shanghai}}
cloud: {{url: "{cloud}"}}
storage: {{seal_s: 0.5}}
buses:
  - id: panels
    protocol: modbus-tcp
    host: 127.0.0.1
    port: {port}
    poll_s: 0.2
    timeout_s: 2
    devices:
      - {{id: smoke-1, name: 1号烟感, profile: anju-smoke-panel-16, unit: 1, channel: 0}}
      - {{id: smoke-2, name: 2号烟感, profile: anju-smoke-panel-16, unit: 1, channel: 1}}
"""
SCENARIO = "name: an estate that waits for orders\nsite: estate.yaml\nsteps:\n  - {at: 0s, say: waiting}\n"
TOGGLES = 4
TOLD_S = 60.0


@dataclass
class Machine:
    """A box with its estate."""

    folder: Path
    health: str
    control: Control
    child: Child

    async def is_told(self, http: aiohttp.ClientSession) -> bool:
        """Whether the box says on its own page that it is not alone."""
        try:
            async with http.get(f"http://{self.health}/status.json") as answer:
                return "another box speaks" in (await answer.json())["uplink"]["problem"]
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def machine(folder: Path, state: Path, cloud: RunningCloud) -> AsyncIterator[Machine]:
    """Runs a box from a state folder beside an estate of its own."""
    folder.mkdir()
    (folder / "estate.yaml").write_text(SITE.format(cloud=cloud.url, port=free_port(0)), encoding="utf-8")
    (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    (folder / "boot_id").write_text(f"{uuid4()}\n")
    health = f"127.0.0.1:{free_port(0)}"
    async with AsyncExitStack() as stack:
        estate = await Child.start(
            "estate", "anju-sim", "run", str(folder / "scenario.yaml"), "--control", str(folder / "control"),
            log=folder / "estate.log",
        )  # fmt: skip
        stack.push_async_callback(estate.stop)
        await until((folder / "control").exists, estate)
        control = await Control.connect(folder / "control")
        stack.push_async_callback(control.close)
        command = launched(
            sys.executable,
            "-m",
            "tests.support.another_machine",
            str(folder / "boot_id"),
            str(folder / "estate.yaml"),
            str(state),
            health,
        )
        box = await Child.launch("box", command, log=folder / "box.log")
        stack.push_async_callback(box.stop)
        yield Machine(folder, health, control, box)


async def until(condition, *children: Child, within_s: float = 30.0) -> None:
    """Waits until something holds, while the children run."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                held = condition()
                if await held if asyncio.iscoroutine(held) else held:
                    return
                for child in children:
                    assert child.process.returncode is None, tail(child.log, 40)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError("\n".join(f"--- {child.name}\n{tail(child.log, 40)}" for child in children)) from None


SMOKES = """
SELECT count(*) FROM states JOIN series ON series.id = states.series JOIN device ON device.id = series.device
WHERE point = 'smoke' AND key = $1 AND value = 'smoke'
"""


async def toggle(cloud: RunningCloud, box: Machine, device: str) -> None:
    """Smoke comes and goes at one box's estate; each time is waited for in the database."""
    for n in range(TOGGLES):
        await box.control.tell(SetOrder(device, "smoke", "smoke"))

        async def is_stored(n: int = n) -> bool:
            return (await cloud.rows(SMOKES, device))[0][0] > n

        await until(is_stored, box.child)
        await box.control.tell(SetOrder(device, "smoke", "clear"))
        await asyncio.sleep(0.5)  # two polls: the box has seen it


@pytest.mark.timeout(120)
async def test_two_boxes_from_one_card_lose_nothing_and_both_are_told(database_plain: Database, tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    async with running_cloud(database_plain.url) as cloud, aiohttp.ClientSession() as http:
        claim = await cloud.claim(await cloud.area("双胞小区"))
        await run_once("anju", "enrol", "--cloud", cloud.url, "--claim", claim, "--state", str(state))
        async with machine(tmp_path / "before", state, cloud) as first:  # a life before the card was copied

            async def has_devices() -> bool:
                return (await cloud.rows("SELECT count(*) FROM latest_state"))[0][0] >= 2

            await until(has_devices, first.child)
        shutil.copytree(state, copy)
        async with machine(tmp_path / "one", state, cloud) as one, machine(tmp_path / "two", copy, cloud) as two:
            async with asyncio.timeout(TOLD_S):
                await asyncio.gather(toggle(cloud, one, "smoke-1"), toggle(cloud, two, "smoke-2"))

                async def both_are_told() -> bool:
                    return await one.is_told(http) and await two.is_told(http)

                async def cloud_knows() -> bool:
                    return (await cloud.rows("SELECT shared FROM gateway_now"))[0][0]

                await until(both_are_told, one.child, two.child, within_s=TOLD_S)
                await until(cloud_knows, one.child, two.child, within_s=TOLD_S)
        # The estates were quiet but for what was toggled: no more, and no less, came of either.
        assert [await cloud.rows(SMOKES, key) for key in ("smoke-1", "smoke-2")] == [[(TOGGLES,)], [(TOGGLES,)]]
        assert await cloud.rows("SELECT count(*) FROM quarantine") == [(0,)]
        assert await cloud.rows("SELECT count(*) FROM loss") == [(0,)]
        boots = await cloud.rows("SELECT count(DISTINCT boot) FROM stream_seal WHERE stream = 'urgent'")
        assert boots == [(3,)], "what either said is there under its own boot"
        assert len(await cloud.rows("SELECT FROM audit WHERE action = 'identity shared'")) == 1


@pytest.mark.timeout(60)
async def test_a_box_whose_disk_was_wiped_goes_on_with_its_devices(database_plain: Database, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with running_cloud(database_plain.url) as cloud:
        claim = await cloud.claim(await cloud.area("双胞小区"))
        await run_once("anju", "enrol", "--cloud", cloud.url, "--claim", claim, "--state", str(state))
        async with machine(tmp_path / "before", state, cloud) as box:
            await toggle(cloud, box, "smoke-1")
        devices = await cloud.rows("SELECT id, key FROM device ORDER BY id")
        for path in state.iterdir():
            if path.name not in {"identity.json", "identity.key"}:
                path.unlink() if path.is_file() else shutil.rmtree(path)
        async with machine(tmp_path / "after", state, cloud) as box:
            await toggle(cloud, box, "smoke-2")
        assert await cloud.rows(SMOKES, "smoke-1") == await cloud.rows(SMOKES, "smoke-2") == [(TOGGLES,)]
        assert await cloud.rows("SELECT id, key FROM device ORDER BY id") == devices
        chains = "SELECT closed_at IS NULL FROM stream_epoch WHERE stream = 'urgent' ORDER BY opened_at"
        assert await cloud.rows(chains) == [(False,), (True,)]
        for table in ("quarantine", "loss"):
            assert await cloud.rows(f"SELECT count(*) FROM {table}") == [(0,)]  # our own names
        assert await cloud.rows("SELECT shared_at FROM gateway") == [(None,)]


# What the cloud goes by -----------------------------------------------------------------------------------------------


async def beat(cloud: RunningCloud, box: Box, beats: Beat = Beat()) -> BeatReply:  # noqa: B008  # frozen
    answer = await cloud.post(BEAT_PATH, msgspec.json.encode(beats), box.headers)
    assert answer.status in {200, 204}
    await cloud.cloud.beats.write()
    return msgspec.json.decode(answer.body or b"{}", type=BeatReply)


async def is_shared(cloud: RunningCloud) -> bool:
    return (await cloud.rows("SELECT shared FROM gateway_now"))[0][0]


async def test_a_box_that_goes_on_to_newer_sessions_is_one(database_plain: Database) -> None:
    async with running_cloud(database_plain.url) as cloud:
        box = await cloud.enrolled_box()
        for _ in range(3):
            await box.open_session()
            for _ in range(2):
                assert not (await beat(cloud, box)).is_identity_shared
        assert not await is_shared(cloud)


async def test_a_beat_of_a_session_that_was_left_gives_two_boxes_away_at_any_process(database_plain: Database) -> None:
    async with (
        running_cloud(database_plain.url) as cloud,
        running_cloud(database_plain.url, public_url=cloud.url) as other,
    ):
        box = await cloud.enrolled_box()
        twin = Box(cloud, box.key, box.gateway, box.estate)
        await box.open_session()
        await twin.open_session()
        twin.cloud = other
        await beat(cloud, box)
        await beat(other, twin)
        assert not await is_shared(cloud), "the older one beat first: a box that was started anew looks the same"
        await beat(cloud, box)
        assert await is_shared(cloud)
        await beat(other, twin)  # whose process has now heard of it
        assert (await beat(cloud, box)).is_identity_shared
        assert (await beat(other, twin)).is_identity_shared
        assert await cloud.rows("SELECT object FROM audit WHERE action = 'identity shared'") == [
            (f"gateway {box.gateway}",)
        ]
        await cloud.rows("UPDATE gateway SET shared_at = now() - INTERVAL '16 minutes', session_at = NULL")
        await beat(other, twin)
        assert not (await beat(other, twin)).is_identity_shared
        assert not await is_shared(cloud)


@pytest.mark.parametrize("is_older_first", [True, False])
async def test_two_that_beat_within_one_write_are_told_apart_too(
    database_plain: Database, is_older_first: bool
) -> None:
    async with running_cloud(database_plain.url) as cloud:
        box = await cloud.enrolled_box()
        twin = Box(cloud, box.key, box.gateway, box.estate)
        await box.open_session()
        await twin.open_session()
        for _ in range(2):  # the older one first may be a box that was started anew; so the second time it cannot be
            for who in (box, twin) if is_older_first else (twin, box):
                assert (await cloud.post(BEAT_PATH, b"{}", who.headers)).status in {200, 204}
            await cloud.cloud.beats.write()
        assert await is_shared(cloud)
