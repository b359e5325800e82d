"""One radio through bleak: it listens, and connects one device at a time; never both at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakCharacteristicNotFoundError, BleakError, BleakGATTProtocolError
from bleak_retry_connector import establish_connection
from dbus_fast.errors import AuthError, DBusError

from contract.errors import Permanent, Retryable
from edge.drivers.ble.adapter import Lost
from edge.drivers.ble.config import Timing

Heard = Callable[[BLEDevice, AdvertisementData], None]
WIRE_ERRORS = (BleakError, DBusError, AuthError, OSError, EOFError, KeyError, AssertionError, AttributeError)
"""What bleak raises when a device, bluetoothd or the bus goes in the middle of something."""
_STOP_S = 5.0

log = structlog.get_logger(__name__)

# Losses are logged once, by this driver; bleak would say each anew, and names from the air with it.
for _name in ("bleak", "bleak_retry_connector"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Unreached(Retryable):
    """The device could not be connected; nothing was sent to it."""


class Broken(Retryable):
    """The connection went, or an answer did not come."""


class Denied(Permanent):
    """The device answered, and refuses."""


class Radio:
    """Listens from `open` to `close`, save while it connects. `is_passive` is how; it falls back to active for good."""

    def __init__(
        self, adapter: str, patterns: list[tuple[int, int, bytes]], *, is_passive: bool, heard: Heard, timing: Timing
    ) -> None:
        self.is_passive = is_passive
        self._adapter, self._heard, self._timing = adapter, heard, timing
        self._patterns = [OrPattern(start, AdvertisementDataType(kind), data) for start, kind, data in patterns]
        self._scanner: BleakScanner | None = None
        self._connecting = asyncio.Lock()
        self._limit: asyncio.Timeout | None = None
        """Of the connect under way."""
        self._is_open = False

    async def open(self) -> None:
        """Begins to listen. Raises Lost."""
        self._is_open = True
        refused = ""
        if self.is_passive:
            try:
                await self._start(is_passive=True)
            except WIRE_ERRORS as e:
                self.is_passive, refused = False, brief(e)
            else:
                return
        await self._listen()
        if refused:
            hint = "the radio cannot listen passively; it listens actively, which costs the sensors' batteries"
            log.warning(hint, adapter=self._adapter, error=refused)

    async def _listen(self) -> None:
        try:
            await self._start(is_passive=self.is_passive)
        except (*WIRE_ERRORS, TimeoutError) as e:
            raise Lost(f"the Bluetooth adapter {self._adapter} does not listen: {str(e) or type(e).__name__}") from e

    async def _start(self, *, is_passive: bool) -> None:
        bluez = BlueZScannerArgs(adapter=self._adapter)
        if is_passive:
            bluez["or_patterns"] = list(self._patterns)
        scanner = BleakScanner(self._heard, scanning_mode="passive" if is_passive else "active", bluez=bluez)
        async with asyncio.timeout(self._timing.connect_s):
            await scanner.start()
        self._scanner = scanner

    async def _hush(self) -> None:
        """Stops to listen; whatever becomes of it."""
        scanner, self._scanner = self._scanner, None
        if scanner is not None:
            with suppress(*WIRE_ERRORS, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await scanner.stop()

    async def restart(self) -> None:
        """Listens anew. Raises Lost."""
        async with self._connecting:
            await self._hush()
            await self._listen()

    async def close(self) -> None:
        """Ends listening, and a connect that is under way."""
        self._is_open = False
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())
        await self._hush()

    @asynccontextmanager
    async def connection(self, device: BLEDevice, gone: Callable[[BleakClient], None]) -> AsyncIterator[BleakClient]:
        """A connection for the time of a block. Raises Unreached, and Lost where the radio listens no more after it."""
        client = await self.connect(device, gone)
        try:
            yield client
        finally:
            await disconnect(client)

    async def connect(self, device: BLEDevice, gone: Callable[[BleakClient], None]) -> BleakClient:
        """A connection; `gone` is called when it breaks. Raises as `connection`."""
        async with self._connecting:
            await self._hush()
            try:
                async with asyncio.timeout(self._timing.connect_s) as self._limit:
                    client = await establish_connection(
                        BleakClient, device, device.address, disconnected_callback=gone,
                        max_attempts=self._timing.attempts,
                    )  # fmt: skip
            except TimeoutError:
                await self._listen_again()
                within = f" within {self._timing.connect_s:g} s" if self._is_open else ": the radio was lost"
                raise Unreached(f"not connected{within}") from None
            except WIRE_ERRORS as e:
                await self._listen_again()
                raise Unreached(f"not connected: {brief(e)}") from e
            finally:
                self._limit = None
            try:
                await self._listen_again()
            except BaseException:
                await disconnect(client)
                raise
            return client

    async def _listen_again(self) -> None:
        if self._is_open:
            await self._listen()


async def disconnect(client: BleakClient) -> None:
    """Ends a connection; whatever becomes of it."""
    with suppress(*WIRE_ERRORS, TimeoutError):
        async with asyncio.timeout(_STOP_S):
            await client.disconnect()


async def read(client: BleakClient, characteristic: str, timeout_s: float) -> bytes:
    """A characteristic's value. Raises Denied or Broken."""
    async with _asking(characteristic, timeout_s):
        return bytes(await client.read_gatt_char(characteristic))


async def write(client: BleakClient, characteristic: str, data: bytes, timeout_s: float, *, response: bool) -> None:
    """Writes a characteristic. Raises Denied, or Broken when it may have been written."""
    async with _asking(characteristic, timeout_s):
        await client.write_gatt_char(characteristic, data, response=response)


@asynccontextmanager
async def _asking(characteristic: str, timeout_s: float) -> AsyncIterator[None]:
    """What goes wrong with a characteristic, as Denied or Broken."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise Broken(f"no answer within {timeout_s:g} s") from None
    except BleakCharacteristicNotFoundError as e:
        raise Denied(f"it has no characteristic {characteristic}: another model or firmware?") from e
    except BleakGATTProtocolError as e:
        raise Denied(f"it refuses: {brief(e)}") from e
    except WIRE_ERRORS as e:
        raise Broken(f"the connection broke: {brief(e)}") from e


def brief(error: BaseException) -> str:
    """An error of bleak's in one line without what a name from the air could put there."""
    text = "".join(char for char in str(error) if char.isprintable()) or type(error).__name__
    return text[:160]
