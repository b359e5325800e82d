"""A running simulator's control socket: one JSON order a line over a Unix socket, one JSON answer a line.

{"do": "set", "device": "smoke-3-2-07", "point": "smoke", "value": "smoke"}    {"ok": true, "value": "smoke", …}
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from contract.errors import AnjuError, Permanent, Retryable
from simulators.bus import Fault
from simulators.estate import Estate
from simulators.player import Player


class SetOrder(msgspec.Struct, frozen=True, tag="set", tag_field="do", forbid_unknown_fields=True):
    """A point takes a value now."""

    device: str
    point: str
    value: str | float


class GetOrder(msgspec.Struct, frozen=True, tag="get", tag_field="do", forbid_unknown_fields=True):
    """What a point is now."""

    device: str
    point: str


class FailOrder(msgspec.Struct, frozen=True, tag="fail", tag_field="do", forbid_unknown_fields=True):
    """The unit a device is on fails, or works again without a fault given."""

    device: str
    fault: Fault | None = None


class CutOrder(msgspec.Struct, frozen=True, tag="cut", tag_field="do", forbid_unknown_fields=True):
    """Closes the connections to a bus."""

    bus: str


class PowerOrder(msgspec.Struct, frozen=True, tag="power", tag_field="do", forbid_unknown_fields=True):
    """Takes a bus off the network, or brings it back."""

    bus: str
    on: bool


Order = SetOrder | GetOrder | FailOrder | CutOrder | PowerOrder


class Answered(msgspec.Struct, frozen=True):
    """Whether it was done, why not, and the value asked for or set."""

    ok: bool
    error: str = ""
    value: str | float | None = None


_orders = msgspec.json.Decoder(Order)
_answers = msgspec.json.Decoder(Answered)


async def obey(order: Order, estate: Estate, player: Player | None = None) -> Answered:
    """Carries an order out; what cannot be is an answer, not an error."""
    try:
        match order:
            case SetOrder(device, point, value):
                (player or estate).set(device, point, value)
                return Answered(True, value=estate.get(device, point))
            case GetOrder(device, point):
                return Answered(True, value=estate.get(device, point))
            case FailOrder(device, fault):
                estate.fail(device, fault)
            case CutOrder(bus):
                estate.cut(bus)
            case PowerOrder(bus, on):
                await estate.power(bus, on)
    except AnjuError as e:
        return Answered(False, str(e))
    return Answered(True)


@asynccontextmanager
async def serve_control(path: Path, estate: Estate, player: Player | None = None) -> AsyncIterator[None]:
    """Listens on a Unix socket while open; only its owner may use it."""
    open_writers: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        try:
            while line := await reader.readline():
                try:
                    answer = await obey(_orders.decode(line), estate, player)
                except msgspec.MsgspecError as e:
                    answer = Answered(False, f"not an order: {e}")
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the other side went, or sent a line beyond the reader's limit
        finally:
            open_writers.discard(writer)
            writer.close()

    server = await asyncio.start_unix_server(talk, sock=_listen(path))
    try:
        yield
    finally:
        server.close()
        for writer in list(open_writers):
            writer.close()
        await server.wait_closed()
        _remove(path)


def _listen(path: Path) -> socket.socket:
    """A Unix socket at a path, for its owner only; a left-over one of an earlier run is replaced."""
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    return listening


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def tell(path: Path, order: Order) -> Answered:
    """Gives a running simulator an order. Raises Retryable when none listens there, Permanent when it says no."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as e:
        raise Retryable(f"no simulator listens at {path}; start one: anju-sim run SCENARIO --control {path}") from e
    try:
        writer.write(msgspec.json.encode(order) + b"\n")
        await writer.drain()
        answer = _answers.decode(await reader.readline())
    finally:
        writer.close()
        await writer.wait_closed()
    if not answer.ok:
        raise Permanent(answer.error)
    return answer
