"""What can go wrong, part by part: each fault happens, lasts a while, and is over when it returns.

Faults of one part come one after the other; those of different parts come at the same time.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from simulators.postgres import PostgresError
from tests.faults.rig import CLOUDS, Rig, fill
from tests.support.cable import FINE, Weather

YEAR_S = 365 * 24 * 3600.0
Fault = Callable[[Rig, random.Random], Awaitable[None]]


# The box


async def kill_box(rig: Rig, dice: random.Random) -> None:
    """SIGKILL, and a start after a while."""
    await rig.kill("box")
    await asyncio.sleep(dice.uniform(0.0, 1.5))
    await rig.start("box")


async def cut_power(rig: Rig, dice: random.Random) -> None:
    """What was not synced may be forgotten, torn or reordered."""
    await rig.cut_power(dice.getrandbits(32))
    await asyncio.sleep(dice.uniform(0.0, 1.5))
    await rig.start("box")


async def wrong_clock(rig: Rig, dice: random.Random) -> None:
    """The box's wall clock jumps by anything from seconds to decades, more than once, and back."""
    for _ in range(dice.randint(1, 4)):
        rig.clock.off_by(dice.choice([-50 * YEAR_S, 20 * YEAR_S, dice.uniform(-90_000, 90_000), dice.uniform(-9, 9)]))
        await asyncio.sleep(dice.uniform(0.2, 1.0))
    rig.clock.off_by(0.0)


async def fill_box(rig: Rig, dice: random.Random) -> None:
    """The box's disk is full for less than the time after which it would go on in memory."""
    filler = await asyncio.to_thread(fill, rig.state.parent)
    await asyncio.sleep(dice.uniform(0.3, 2.0))
    filler.unlink()
    await asyncio.sleep(2.5)  # by then what waited is on disk: it is tried again each second


# The network


def weather(make: Callable[[random.Random], Weather]) -> Fault:
    """Bad weather for a while."""

    async def fault(rig: Rig, dice: random.Random) -> None:
        await rig.cable.become(make(dice))
        await asyncio.sleep(dice.uniform(0.5, 4.0))
        await rig.cable.become(FINE)

    return fault


async def reset_connections(rig: Rig, dice: random.Random) -> None:
    """Every connection of the box ends at once, some times."""
    for _ in range(dice.randint(1, 5)):
        rig.balancer.reset()
        await asyncio.sleep(dice.uniform(0.0, 0.5))


# The clouds


async def kill_cloud(rig: Rig, dice: random.Random) -> None:
    """SIGKILL to one of two."""
    await _kill_clouds(rig, dice, [dice.choice(CLOUDS)])


async def kill_clouds(rig: Rig, dice: random.Random) -> None:
    """SIGKILL to both, and starts apart from each other."""
    await _kill_clouds(rig, dice, list(CLOUDS))


async def _kill_clouds(rig: Rig, dice: random.Random, victims: list[str]) -> None:
    for name in victims:
        with suppress(ProcessLookupError):  # it ended by itself just then
            await rig.kill(name)
    for name in victims:
        await asyncio.sleep(dice.uniform(0.0, 1.5))
        if not rig.runs(name):
            await rig.start(name)
    await asyncio.sleep(dice.uniform(0.5, 1.5))  # it starts meanwhile


async def freeze_cloud(rig: Rig, dice: random.Random) -> None:
    """One stands still, in the middle of whatever it does, and goes on."""
    name = dice.choice(CLOUDS)
    with suppress(ProcessLookupError):
        rig.signal(name, signal.SIGSTOP)
        rig.say(f"{name} frozen")
        await asyncio.sleep(dice.uniform(0.5, 4.0))
        rig.signal(name, signal.SIGCONT)


# The database


async def kill_database(rig: Rig, dice: random.Random) -> None:
    """SIGKILL to all of it."""
    await rig.kill("postgres")
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    await rig.start("postgres")


async def restart_database(rig: Rig, dice: random.Random) -> None:
    """An administrator restarts it: every transaction is rolled back."""
    await asyncio.to_thread(rig.server.stop)
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    await rig.start("postgres")


async def freeze_database(rig: Rig, dice: random.Random) -> None:
    """It hangs."""
    await asyncio.to_thread(rig.server.freeze, dice.uniform(0.5, 4.0))


async def fill_database(rig: Rig, dice: random.Random) -> None:
    """Its disk is full; it may end by itself for that, and is started again."""
    filler = await asyncio.to_thread(fill, rig.server.data_dir.parent)
    await asyncio.sleep(dice.uniform(0.5, 3.0))
    filler.unlink()
    for _ in range(3):
        if await asyncio.to_thread(lambda: rig.server.running):
            break
        with suppress(PostgresError):
            await rig.start("postgres")


PARTS: dict[str, dict[str, Fault]] = {
    "box": {"box killed": kill_box, "power cut": cut_power, "box's clock wrong": wrong_clock},
    "network": {
        "network cut": weather(lambda _: Weather(is_cut=True)),
        "network slow": weather(lambda dice: Weather(kbit_s=dice.choice([16, 64, 256]))),
        "packets late": weather(lambda dice: Weather(delay_s=dice.uniform(0.1, 0.6))),
        "packets reordered": weather(lambda dice: Weather(delay_s=0.15, jitter_s=0.15)),
        "packets lost": weather(lambda dice: Weather(loss=dice.uniform(0.05, 0.4))),
        "packets repeated": weather(lambda dice: Weather(repeat=0.3, delay_s=0.02, jitter_s=0.02)),
        "connections reset": reset_connections,
    },
    "cloud": {"cloud killed": kill_cloud, "clouds killed": kill_clouds, "cloud frozen": freeze_cloud},
    "database": {
        "database killed": kill_database, "database restarted": restart_database,
        "database frozen": freeze_database, "database's disk full": fill_database,
    },
}  # fmt: skip
"""Every kind of fault of the strict rounds, by the part that it happens to."""
