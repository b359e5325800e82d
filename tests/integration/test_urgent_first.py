"""An alarm in the middle of a long catch-up over a slow link: it does not stand behind telemetry."""

import asyncio
import ctypes
import os
import random
import socket
import threading
import time

import pytest

from contract.kinds import Lane
from contract.records import StateRecord
from edge.outbox import Outbox
from tests.support.cable import Weather, laid
from tests.support.fake_cloud import FakeCloud
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry
from tests.unit.edge.uplink.test_uplink import STORAGE, box, delivered

KBIT_S = 256
ALARMS = 8
MOST_S = 1.2
"""A quarter of a second of bulk may be under way, the alarm's own bytes and four ways of 40 ms come on top; what a busy
machine adds is most of it. Without its pace, a request of bulk alone takes several seconds."""
_NEW_NETWORK = 0x40000000
"""Source: linux/sched.h, CLONE_NEWNET."""


def listening_in(name: str, address: str) -> socket.socket:
    """A socket that listens in a network namespace; it stays of that place wherever it is used."""
    made: list[socket.socket] = []

    def make():
        place = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(place, _NEW_NETWORK):  # of this thread alone
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(place)
        made.append(socket.create_server((address, 0)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
async def test_an_alarm_passes_by_a_catch_up_on_a_slow_link(tmp_path):
    dice = random.Random(1)
    async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
        for n in range(40):
            await outbox.put([telemetry(dice.random(), n * 10**9 + k * 1_000_000) for k in range(700)])
            await outbox.flush()
        backlog = outbox.status(Lane.BULK).used_bytes
    async with laid(seed=1) as cable:
        await cable.become(Weather(delay_s=0.04, kbit_s=KBIT_S))
        async with (
            FakeCloud(sock=listening_in(cable.name, cable.there)) as cloud,
            box(tmp_path, cloud) as outbox,
        ):
            gateway = cloud.gateways["gw"]
            await cloud.until(lambda: len(gateway.bulk.items) > 0, 60)
            took = []
            for n in range(ALARMS):
                began = time.monotonic()
                await outbox.put([state("smoke" if n % 2 else "clear", 10**12 + n)])
                await cloud.until(lambda n=n: said(gateway) > n, 60)
                took.append(time.monotonic() - began)
                await asyncio.sleep(dice.uniform(0.2, 0.6))
            assert outbox.status(Lane.BULK).pending_blocks, "the catch-up ended before the alarms did"
            await delivered(outbox, 60)
    assert backlog > 200_000
    assert max(took) < MOST_S, took


def said(gateway) -> int:
    return sum(isinstance(record, StateRecord) for record in gateway.urgent.items)
