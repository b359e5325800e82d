"""The bare read path against bare pymodbus: 50 connections to a server in C on the other core, 40 registers a question.

Ours is the wire with its checks, and the decoding into samples with their time; pymodbus's is its client up to the
list of registers. Each on one loop, each as fast as it goes, in turns; CPU seconds are this process's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from pymodbus import __version__ as pymodbus_version
from pymodbus.client import AsyncModbusTcpClient

from contract.clock import mono_ns
from contract.modbus_plan import Item, Read
from contract.profile import ModbusRead, Table
from edge.drivers.modbus.plan import planned
from edge.drivers.modbus.tcp import TcpWire
from tests.bench.figures import Figure, spread
from tests.bench.processes import modbus_server

CONNECTIONS = 50
REGISTERS = 40
TURNS = 7
TURN_S = 1.5
WARM_UP_S = 0.5
Ask = Callable[[int], Awaitable[object]]
"""One question over the connection of a number."""


async def modbus_read(folder: Path) -> list[Figure]:  # a benchmark's signature
    """Points per CPU second, ours over pymodbus's: on uvloop, as the box runs, and on asyncio's own loop."""
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    async with modbus_server() as port:
        on_uvloop = await asyncio.to_thread(_run, uvloop.new_event_loop, port)
        on_asyncio = await asyncio.to_thread(_run, asyncio.new_event_loop, port)
    rival = f"pymodbus {pymodbus_version}"
    return [
        _figure("edge.modbus_vs_pymodbus", "uvloop, as the box runs", on_uvloop, rival, least=0.8),
        _figure("edge.modbus_vs_pymodbus_asyncio", "asyncio's own loop", on_asyncio, rival),
    ]


def _figure(
    name: str, loop: str, rates: tuple[list[float], list[float]], rival: str, least: float | None = None
) -> Figure:
    ours, theirs = rates
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    note = (
        f"{loop}; {CONNECTIONS} connections × {REGISTERS} holding registers; M points per CPU second:"
        f" ours {spread([rate / 1e6 for rate in ours])}, theirs {spread([rate / 1e6 for rate in theirs])}"
    )
    return Figure(name=name, value=median(ratios), unit="× points per CPU s", note=note, least=least, rival=rival,
                  rival_value=1.0)  # fmt: skip


def _run(new_loop: Callable[[], asyncio.AbstractEventLoop], port: int) -> tuple[list[float], list[float]]:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_compare(port))


async def _compare(port: int) -> tuple[list[float], list[float]]:
    """Points per CPU second of ours and of pymodbus, turn by turn."""
    wires = [TcpWire("127.0.0.1", port) for _ in range(CONNECTIONS)]
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=5) for _ in range(CONNECTIONS)]
    for wire in wires:
        await wire.connect(5.0)
    for client in clients:
        assert await client.connect()
    plans = [planned(_read(n), None) for n in range(CONNECTIONS)]

    async def ours(n: int) -> None:
        plan = plans[n]
        samples = plan.decode(await wires[n].ask(plan.question, 5.0), mono_ns())
        assert len(samples) == REGISTERS

    async def theirs(n: int) -> None:
        answer: Any = await clients[n].read_holding_registers(0, count=REGISTERS, device_id=1)
        assert len(answer.registers) == REGISTERS

    await _turn(ours, WARM_UP_S)
    await _turn(theirs, WARM_UP_S)
    rates = [(await _turn(ours, TURN_S), await _turn(theirs, TURN_S)) for _ in range(TURNS)]
    for wire in wires:
        wire.close()
    for client in clients:
        client.close()
    return [rate for rate, _ in rates], [rate for _, rate in rates]


def _read(n: int) -> Read:
    """Forty values of one device, side by side."""
    items = tuple(
        Item(f"meter-{n}", f"point-{at}", at, ModbusRead(table=Table.HOLDING_REGISTER, address=at))
        for at in range(REGISTERS)
    )
    return Read(1, Table.HOLDING_REGISTER, 0, REGISTERS, items)


async def _turn(ask: Ask, seconds: float) -> float:
    """Points per CPU second (of this thread) of all connections together."""
    until = time.monotonic() + seconds

    async def one(n: int) -> int:
        asked = 0
        while time.monotonic() < until:
            await ask(n)
            asked += 1
        return asked

    began = time.thread_time()
    asked = sum(await asyncio.gather(*(one(n) for n in range(CONNECTIONS))))
    return asked * REGISTERS / (time.thread_time() - began)
