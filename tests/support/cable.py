"""A network cable that can be bad: two tunnels joined by a process that delays, loses, repeats and reorders packets.

One end is on this machine, the other in a network namespace of its own; every IP packet between them goes through
`python -m tests.support.cable`, which does to it what the weather says. Unlike tc's netem it needs no kernel module.
Needs root, as every network namespace does.
"""

import asyncio
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

from tests.support.namespace import Place, inside, ip, remove

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU = 1500
QUEUE_S = 2.0
"""A slow cable forgets what would have to wait longer."""


class Weather(msgspec.Struct, frozen=True):
    """What happens to packets, in each direction for itself. `kbit_s` 0: as fast as they come."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    repeat: float = 0.0
    kbit_s: float = 0.0
    is_cut: bool = False


FINE = Weather()


class Cable:
    """A cable whose far end is in a namespace. `prefix` goes before every command that is to run there."""

    def __init__(self, name: str, here: str, there: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.prefix: Place = inside(name)
        self.here, self.there = here, there
        self._process = process

    async def become(self, weather: Weather) -> None:
        """The weather from now on, for packets that are not under way yet."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(weather) + b"\n")
        await self._process.stdin.drain()


class NoCable(Cable):
    """Where this machine gives no namespace the far end is here, and the balancer does the weather to streams."""

    def __init__(self, suffer: Callable[[Weather], None]) -> None:
        self.prefix = ()
        self.name = ""
        self.here = self.there = "127.0.0.1"
        self._suffer = suffer

    async def become(self, weather: Weather) -> None:
        self._suffer(weather)


@asynccontextmanager
async def laid(seed: int) -> AsyncIterator[Cable]:
    """A cable in fine weather. Raises OSError where this machine gives no namespace: run the tests as root."""
    number = os.getpid() % 16000
    name = f"anju-cable-{number}"
    here, there = (f"198.19.{number // 64}.{number % 64 * 4 + part}" for part in (1, 2))  # for tests: RFC 2544
    await remove(name)
    await ip("netns", "add", name)
    tunnels = []
    try:
        for device, own, other, place in ((f"anju{number}", here, there, ()), ("box", there, here, inside(name))):
            tunnels.append(_tunnel(device))
            if place:
                await ip("link", "set", device, "netns", name)
            await ip("addr", "add", own, "peer", other, "dev", device, place=place)
            await ip("link", "set", device, "up", place=place)
        await ip("link", "set", "lo", "up", place=inside(name))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.cable", str(seed), *map(str, tunnels),
            stdin=asyncio.subprocess.PIPE, pass_fds=tunnels,
        )  # fmt: skip
    except BaseException:
        await remove(name)
        raise
    finally:
        for tunnel in tunnels:
            os.close(tunnel)
    try:
        yield Cable(name, here, there, process)
    finally:
        process.kill()
        await process.wait()
        await remove(name)


def _tunnel(device: str) -> int:
    tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    return tunnel


class _Direction:
    """Packets one way: each gets the time at which it arrives."""

    def __init__(self, source: int, target: int, dice: random.Random) -> None:
        self.source, self._target, self._dice = source, target, dice
        self._waiting: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._free_at = 0.0

    def take(self, weather: Weather) -> None:
        """Reads what has come."""
        while True:
            try:
                packet = os.read(self.source, MTU + 100)
            except BlockingIOError:
                return
            if weather.is_cut or self._dice.random() < weather.loss:
                continue
            now = time.monotonic()
            at = now
            if weather.kbit_s:
                self._free_at = max(self._free_at, now) + len(packet) * 8 / (weather.kbit_s * 1000)
                if self._free_at > now + QUEUE_S:
                    self._free_at -= len(packet) * 8 / (weather.kbit_s * 1000)
                    continue
                at = self._free_at
            for _ in range(2 if self._dice.random() < weather.repeat else 1):
                late = weather.delay_s + self._dice.uniform(-weather.jitter_s, weather.jitter_s)
                self._count += 1
                heapq.heappush(self._waiting, (at + max(0.0, late), self._count, packet))

    def give(self) -> float:
        """Lets go of what is due; seconds until the next is."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            with suppress(BlockingIOError, OSError):  # the far end has no room, or is gone
                os.write(self._target, heapq.heappop(self._waiting)[2])
        return max(0.0, self._waiting[0][0] - now) if self._waiting else 60.0


def main(seed: int, here: int, there: int) -> None:
    """Passes packets on until standard input ends."""
    dice = random.Random(seed)
    ways = (_Direction(here, there, dice), _Direction(there, here, dice))
    weather = FINE
    os.set_blocking(0, False)
    orders = b""
    while True:
        ready, _, _ = select.select([0, here, there], [], [], min(way.give() for way in ways))
        if 0 in ready:
            said = os.read(0, 65536)
            if not said:
                return
            *lines, orders = (orders + said).split(b"\n")
            if lines:
                weather = msgspec.json.decode(lines[-1], type=Weather)
        for way in ways:
            if way.source in ready:
                way.take(weather)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
