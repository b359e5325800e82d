"""Who is connected to a radio of the simulated BlueZ, and what connected devices are asked and tell.

A link outlives the client that made it. One connect at a time, and none while the radio listens actively.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from dbus_fast import Variant

from simulators.ble.peripheral import AttError, Peripheral, full_uuid

if TYPE_CHECKING:
    from simulators.ble.bluez import BlueZ

ADAPTER = "org.bluez.Adapter1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
MONITOR = "org.bluez.AdvertisementMonitor1"
DEVICE = "org.bluez.Device1"
SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"

FAILED = "org.bluez.Error.Failed"
NOT_READY = "org.bluez.Error.NotReady"
IN_PROGRESS = "org.bluez.Error.InProgress"
NOT_CONNECTED = "org.bluez.Error.NotConnected"
NOT_PERMITTED = "org.bluez.Error.NotPermitted"
NOT_SUPPORTED = "org.bluez.Error.NotSupported"
DOES_NOT_EXIST = "org.bluez.Error.DoesNotExist"

_READ_NOT_PERMITTED, _WRITE_NOT_PERMITTED = 0x02, 0x03
_FIRST_HANDLE = 0x000A

Reply = tuple[str, list[Any]]
Method = Callable[[str, list[Any]], Awaitable[Reply]]


class BlueZError(Exception):
    """An answer that is an error, by its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class RadioTimes(msgspec.Struct, kw_only=True):
    """How long things take, in seconds. Tests use shorter ones."""

    connect_s: float = 20.0
    """An attempt to connect ends after this."""
    att_s: float = 30.0
    """A question that a connected device does not answer ends the link. Source: Core 5.4, vol 3, part F, 3.3.3."""
    forget_s: float = 30.0
    """A device not heard for so long is forgotten (TemporaryTimeout)."""


class Known:
    """A device that BlueZ knows."""

    def __init__(self, path: str, now: float) -> None:
        self.path = path
        self.heard = now
        self.link: Peripheral | None = None
        self.pending: asyncio.Task[bool] | None = None
        self.characteristics: dict[str, str] = {}
        """UUID by path."""
        self.notifying: dict[str, set[str]] = {}
        """Clients by path of the characteristic."""
        self.asked: set[asyncio.Task[Any]] = set()


class Links:
    """The devices that a radio knows, and its links to some of them."""

    def __init__(self, bluez: "BlueZ", name: str) -> None:
        self.path = f"/org/bluez/{name}"
        self.is_powered = True
        self.times = RadioTimes()
        self.peripherals: dict[str, Peripheral] = {}
        """Those that can be connected, by address."""
        self.clashes = 0
        """Connects asked for while the radio listened actively, or connected elsewhere: refused."""
        self.connects = 0
        """Connects asked for."""
        self._bluez = bluez
        self._known: dict[str, Known] = {}
        self._discovering: set[str] = set()

    def linked(self) -> list[str]:
        """The addresses of the devices connected."""
        return [address for address, known in self._known.items() if known.link is not None]

    def _check_ready(self) -> None:
        if not self.is_powered:
            raise BlueZError(NOT_READY, "Resource Not Ready")

    async def _connect(self, known: Known, _path: str, _client: str, _body: list[Any]) -> Reply:
        self._check_ready()
        self.connects += 1
        if known.link is not None:
            return "", []
        if self._discovering or any(other.pending is not None for other in self._known.values()):
            self.clashes += 1
            raise BlueZError(IN_PROGRESS, "Operation already in progress")
        peripheral = self.peripherals.get(self._bluez.get(known.path, DEVICE, "Address"))
        known.pending = asyncio.create_task(self._reach(peripheral))
        try:
            is_linked = await known.pending
        except asyncio.CancelledError:
            raise BlueZError(FAILED, "Operation was cancelled") from None
        finally:
            known.pending = None
        if not is_linked or peripheral is None:
            raise BlueZError(FAILED, "Software caused connection abort")
        known.link = peripheral
        peripheral.linked(lambda uuid, value: self._tell(known, uuid, value))
        self._bluez.change(known.path, DEVICE, {"Connected": Variant("b", True)})
        self._resolve(known, peripheral)
        return "", []

    async def _reach(self, peripheral: Peripheral | None) -> bool:
        """Whether the device was reached in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.times.connect_s):
                if peripheral is None:
                    await asyncio.Event().wait()
                else:
                    return await peripheral.accept()
        return False

    def _resolve(self, known: Known, peripheral: Peripheral) -> None:
        """The device's services appear."""
        handle = _FIRST_HANDLE
        for service in peripheral.services:
            at = f"{known.path}/service{handle:04x}"
            primary = {"UUID": Variant("s", full_uuid(service.uuid)), "Primary": Variant("b", True)}
            self._bluez.add(
                at, {SERVICE: primary | {"Device": Variant("o", known.path), "Includes": Variant("ao", [])}}
            )
            handle += 1
            for one in service.characteristics:
                path = f"{at}/char{handle:04x}"
                known.characteristics[path] = full_uuid(one.uuid)
                known.notifying[path] = set()
                properties = {
                    "UUID": Variant("s", full_uuid(one.uuid)), "Service": Variant("o", at), "Value": Variant("ay", b""),
                    "Flags": Variant("as", list(one.flags)), "MTU": Variant("q", 247),
                }  # fmt: skip
                if "notify" in one.flags:
                    properties["Notifying"] = Variant("b", False)
                self._bluez.add(path, {CHARACTERISTIC: properties})
                handle += 3
        uuids = Variant("as", [full_uuid(service.uuid) for service in peripheral.services])
        self._bluez.change(known.path, DEVICE, {"UUIDs": uuids, "ServicesResolved": Variant("b", True)})

    async def _disconnect(self, known: Known, _path: str, _client: str, _body: list[Any]) -> Reply:
        if known.pending is not None:
            known.pending.cancel()
        elif known.link is None:
            raise BlueZError(NOT_CONNECTED, "Not Connected")
        self._drop(known)
        return "", []

    def drop(self, address: str) -> None:
        """A link breaks by itself: out of range, or the battery is gone."""
        if known := self._known.get(address):
            self._drop(known)

    def _drop(self, known: Known) -> None:
        was_linked = known.link is not None
        self._end(known)
        if not was_linked:
            return
        for path in sorted(known.characteristics, reverse=True):
            self._bluez.remove(path)
        for path in {path.rpartition("/")[0] for path in known.characteristics}:
            self._bluez.remove(path)
        known.characteristics.clear()
        known.notifying.clear()
        known.heard = asyncio.get_running_loop().time()
        off = {"ServicesResolved": Variant("b", False), "Connected": Variant("b", False)}
        self._bluez.change(known.path, DEVICE, off)

    @staticmethod
    def _end(known: Known) -> None:
        if known.pending is not None:
            known.pending.cancel()
        if known.link is not None:
            known.link.linked(None)
            known.link = None
        for task in known.asked:
            task.cancel()

    async def _read(self, known: Known, path: str, _client: str, _body: list[Any]) -> Reply:
        uuid = known.characteristics[path]
        value = await self._ask(known, lambda link: link.read(uuid))
        self._bluez.change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})  # as bluetoothd does
        return "ay", [value]

    async def _write(self, known: Known, path: str, _client: str, body: list[Any]) -> Reply:
        uuid, value = known.characteristics[path], bytes(body[0])
        await self._ask(known, lambda link: link.write(uuid, value))
        return "", []

    async def _ask(self, known: Known, question: Callable[[Peripheral], Awaitable[Any]]) -> Any:
        """The device's answer. One that gives none within ATT's time-out loses its link."""
        link = known.link
        if link is None:
            raise BlueZError(NOT_CONNECTED, "Not Connected")

        async def ask() -> Any:
            return await question(link)

        task = asyncio.create_task(ask())
        known.asked.add(task)
        try:
            async with asyncio.timeout(self.times.att_s):
                return await task
        except AttError as e:
            if e.code in {_READ_NOT_PERMITTED, _WRITE_NOT_PERMITTED}:
                what = "Read" if e.code == _READ_NOT_PERMITTED else "Write"
                raise BlueZError(NOT_PERMITTED, f"{what} not permitted") from e
            raise BlueZError(FAILED, f"Operation failed with ATT error: {e.code:#04x}") from e
        except TimeoutError:
            self._drop(known)
            raise BlueZError(FAILED, "Not connected") from None
        except asyncio.CancelledError:
            raise BlueZError(NOT_CONNECTED, "Not Connected") from None
        finally:
            task.cancel()
            known.asked.discard(task)

    async def _start_notify(self, known: Known, path: str, client: str, _body: list[Any]) -> Reply:
        clients = known.notifying[path]
        if self._bluez.get(path, CHARACTERISTIC, "Notifying") is None:
            raise BlueZError(NOT_SUPPORTED, "Operation is not supported")
        clients.add(client)
        self._bluez.change(path, CHARACTERISTIC, {"Notifying": Variant("b", True)})
        return "", []

    async def _stop_notify(self, known: Known, path: str, client: str, _body: list[Any]) -> Reply:
        self._leave_notify(path, known.notifying[path], client)
        return "", []

    def _leave_notify(self, path: str, clients: set[str], client: str) -> None:
        if client in clients:
            clients.discard(client)
            if not clients:
                self._bluez.change(path, CHARACTERISTIC, {"Notifying": Variant("b", False)})

    def _tell(self, known: Known, uuid: str, value: bytes) -> None:
        """A connected device tells a value by itself; only who asked for it hears it."""
        for path, clients in known.notifying.items():
            if clients and known.characteristics[path] == full_uuid(uuid):
                self._bluez.change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})
