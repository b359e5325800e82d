"""What a quiet box on a metered link costs a day, counted on the wire.

The box runs in a network namespace of its own; the only way out is a cable to this machine, whose interface counts
every packet both ways. IP, TCP, TLS, HTTP, acknowledgements and handshakes are in it, Ethernet's 14 bytes a packet are
not: no mobile link has them. The cloud is the real one behind Caddy, as it is put up.

The estate is thirty devices at rest: nothing happens, temperatures and levels drift through the day, a meter counts.
Nothing of the product is shortened. The window begins in the steady state and is as long as the heartbeat of telemetry
that does not change, so that it holds each point's once. It does not hold what is seldom: a session renewed (each 36
minutes), states repeated and a report (each hour). What those cost is added, with more than was seen for them.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.demo.processes import Child, free_port
from tests.bench.figures import Figure
from tests.bench.tls_cloud import tls_cloud
from tests.support.namespace import ip

WARM_UP_S = 60.0
MEASURE_S = 900.0
RENEWALS_A_DAY = 86400 / (0.8 * 2700)
RENEWAL_BYTES = 2000
"""Challenge, session, and the down stream opened anew, with all headers: 1,500 bytes were seen."""
HOURLY_BYTES = 5000
"""The states of thirty devices repeated (3,700 bytes were seen), and a report (900)."""
_ETHERNET = 14
_DAY_S = 86400
HERE = Path(sys.executable).parent
_LIFE = """\
name: a quiet day
site: site.yaml
seed: 5
clock: 8h
living:
  - {kind: smoke_detector, point: temperature, base: 21, spread: 1.5, noise: 0.05, swing: 2, every: 5s}
  - {kind: smoke_detector, point: obscuration, base: 0.12, spread: 0.03, noise: 0.005, every: 5s}
  - {kind: environment, point: temperature, base: 19, spread: 2, noise: 0.05, swing: 4, every: 5s}
  - {kind: environment, point: humidity, base: 55, spread: 4, noise: 0.2, every: 5s}
  - {kind: electricity_meter, point: power, base: 0.4, noise: 0.01, every: 5s}
  - {kind: electricity_meter, point: energy, base: 52000, counts: power, every: 5s}
  - {kind: water_level, point: level, base: 0.5, noise: 0.002, swing: 0.05, every: 5s}
  - {kind: hydrant, point: pressure, base: 0.45, noise: 0.001, every: 5s}
steps:
  - {at: 1s, say: nothing happens}
"""
_ESTATE = (
    ("smoke", "anju-smoke-panel-16", 1, 10),
    ("call", "anju-call-point-panel-16", 2, 4),
    ("leak", "anju-leak-panel-16", 3, 4),
    ("intrusion", "anju-intrusion-panel-16", 4, 4),
    ("air", "anju-environment", 10, 2),
    ("sump", "anju-water-level", 20, 2),
    ("hydrant", "anju-hydrant", 30, 2),
    ("meter", "anju-electricity-meter", 40, 1),
    ("gate", "anju-vehicle-gate", 50, 1),
)
"""Name, profile, first unit, how many: sixteen channels a panel, else a unit each."""


@dataclass(frozen=True)
class Wired:
    """A place at the end of a cable. `prefix` goes before what is to run there, `here` is this machine's end."""

    prefix: tuple[str, ...]
    here: str
    device: str

    async def carried(self) -> tuple[int, int]:
        """Bytes from the box, and to it, of IP and all above it."""
        folder = Path("/sys/class/net") / self.device / "statistics"

        def read(way: str) -> int:
            return int((folder / f"{way}_bytes").read_text()) - _ETHERNET * int((folder / f"{way}_packets").read_text())

        return read("rx"), read("tx")


async def idle_bytes(folder: Path, warm_up_s: float = WARM_UP_S, measure_s: float = MEASURE_S) -> list[Figure]:
    """MB a day, both ways."""
    async with AsyncExitStack() as stack:
        wired = await stack.enter_async_context(_wired())
        cloud = await stack.enter_async_context(tls_cloud(folder, wired.here))
        state, site, scenario = folder / "state", folder / "site.yaml", folder / "day.yaml"
        site.write_text(_site(cloud.url, cloud.ca.name), encoding="utf-8")
        scenario.write_text(_LIFE, encoding="utf-8")
        await cloud.enrol(state, *wired.prefix)
        estate = await Child.launch(
            "estate", [*wired.prefix, str(HERE / "anju-sim"), "run", str(scenario)], log=folder / "estate.log"
        )
        stack.push_async_callback(estate.stop)
        box = await Child.launch(
            "box", [*wired.prefix, str(HERE / "anju"), "run", "--site", str(site), "--state", str(state)],
            log=folder / "box.log", environment={"ANJU_HEALTH_LISTEN": f"127.0.0.1:{free_port(0)}"},
        )  # fmt: skip
        stack.push_async_callback(box.stop)
        await asyncio.sleep(warm_up_s)
        began, (up, down) = time.monotonic(), await wired.carried()
        await asyncio.sleep(measure_s)
        took, (up_after, down_after) = time.monotonic() - began, await wired.carried()
        if box.process.returncode is not None or "cloud lost" in (folder / "box.log").read_text(errors="replace"):
            raise RuntimeError("the box lost its cloud meanwhile: this is no quiet box")
        up, down = up_after - up, down_after - down
    a_day, seldom = _DAY_S / took / 1e6, (RENEWALS_A_DAY * RENEWAL_BYTES + 24 * HOURLY_BYTES) / 1e6
    note = (
        f"30 devices at rest on a metered site, over Caddy and TLS, {took:.0f} s: {up * a_day:.3f} up,"
        f" {down * a_day:.3f} down, and {seldom:.3f} for what is seldom; with the headers of IP and TCP"
    )
    return [Figure(name="uplink.idle_mb_a_day", value=(up + down) * a_day + seldom, unit="MB a day", most=1, note=note)]


def _site(url: str, ca: str) -> str:
    lines = [
        "estate: {name: 测速小区, timezone: Asia/Shanghai}",
        f'cloud: {{url: "{url}", ca: {ca}, metered: true}}',
        "buses:",
        "  - id: line",
        "    protocol: modbus-tcp",
        "    host: 127.0.0.1",
        "    port: 15020",
        "    poll_s: 1",
        "    devices:",
    ]
    for name, profile, unit, count in _ESTATE:
        for n in range(count):
            where = f"unit: {unit}, channel: {n}" if "panel" in profile else f"unit: {unit + n}"
            lines.append(f"      - {{id: {name}-{n}, name: {name} {n}, profile: {profile}, {where}}}")
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def _wired() -> AsyncIterator[Wired]:
    """A namespace with a cable that carries nothing but what is spoken over it. Needs root."""
    number = os.getpid() % 16000
    name, device = f"anju-idle-{number}", f"anjui{number}"
    here, there = (f"198.18.{number // 64}.{number % 64 * 4 + part}" for part in (1, 2))  # for tests: RFC 2544
    await ip("netns", "add", name)
    try:
        await ip("link", "add", device, "type", "veth", "peer", "name", "box", "netns", name)
        Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("1")
        await ip("addr", "add", f"{here}/30", "dev", device)
        await ip("link", "set", device, "up")
        await ip("netns", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        await ip("-n", name, "addr", "add", f"{there}/30", "dev", "box")
        for link in ("box", "lo"):
            await ip("-n", name, "link", "set", link, "up")
        # No mobile link asks who has an address.
        ours = (Path("/sys/class/net") / device / "address").read_text().strip()
        await ip("-n", name, "neigh", "replace", here, "lladdr", ours, "dev", "box", "nud", "permanent")
        theirs = await ip("netns", "exec", name, "cat", "/sys/class/net/box/address")
        await ip("neigh", "replace", there, "lladdr", theirs.strip(), "dev", device, "nud", "permanent")
        yield Wired(("ip", "netns", "exec", name), here, device)
    finally:
        await ip("netns", "del", name)
