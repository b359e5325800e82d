"""One radio of the simulated BlueZ: who listens how, what is heard, who is connected.

Facts it keeps to (bluetoothd 5.66, kernel 6.1): while someone discovers, every advertisement is told, also an identical
one; a monitor alone (passive) tells only of changed data. A link outlives the client that made it, and a connected
device advertises no more. A device not heard for half a minute and not connected is forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from dbus_fast import Variant

from simulators.ble.air import matches, properties_of
from simulators.ble.peripheral import Advertisement, AttError, Peripheral, full_uuid

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


class _Known:
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


class Adapter:
    """A radio. Sensors `advertise` through it; clients reach it over D-Bus."""

    def __init__(self, bluez: "BlueZ", name: str, *, is_experimental: bool) -> None:
        self.path = f"/org/bluez/{name}"
        self.is_experimental = is_experimental
        self.is_powered = True
        self.times = RadioTimes()
        self.peripherals: dict[str, Peripheral] = {}
        """Those that can be connected, by address."""
        self.clashes = 0
        """Connects asked for while the radio listened actively, or connected elsewhere: refused."""
        self.connects = 0
        """Connects asked for."""
        self.advertised = 0
        """Advertisements that came by, heard or not."""
        self._bluez = bluez
        self._known: dict[str, _Known] = {}
        self._discovering: set[str] = set()
        self._monitors: dict[tuple[str, str], list[tuple[int, int, bytes]]] = {}
        self._forgetting: asyncio.Task[None] | None = None

    def show(self) -> None:
        """The radio appears."""
        interfaces = {
            ADAPTER: {
                "Address": Variant("s", "00:1A:7D:DA:71:13"), "AddressType": Variant("s", "public"),
                "Name": Variant("s", "box"), "Alias": Variant("s", "box"), "Class": Variant("u", 0),
                "Powered": Variant("b", True), "Discoverable": Variant("b", False), "Pairable": Variant("b", False),
                "Discovering": Variant("b", False), "UUIDs": Variant("as", []), "Modalias": Variant("s", "usb:v1D6B"),
                "Roles": Variant("as", ["central", "peripheral"]),
            }
        }  # fmt: skip
        if self.is_experimental:
            interfaces[MONITORS] = {
                "SupportedMonitorTypes": Variant("as", ["or_patterns"]), "SupportedFeatures": Variant("as", []),
            }  # fmt: skip
        self._bluez.add(self.path, interfaces)
        self._forgetting = self._bluez.run(self._forget(), f"forget {self.path}")

    def close(self) -> None:
        """It is no more: links end, nobody listens. Nothing is said of it."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        for known in self._known.values():
            self._end(known)
        self._known.clear()
        self._discovering.clear()
        self._monitors.clear()

    def power(self, is_on: bool) -> None:
        """Switched on or off by software, or by a kill switch; off ends every link and all listening."""
        if is_on is self.is_powered:
            return
        self.is_powered = is_on
        if not is_on:
            self._discovering.clear()
            for known in list(self._known.values()):
                self._drop(known)
        changed = {"Powered": Variant("b", is_on)} | ({} if is_on else {"Discovering": Variant("b", False)})
        self._bluez.change(self.path, ADAPTER, changed)

    # --- what is heard ----------------------------------------------------------------------------------------------

    @property
    def is_listening(self) -> bool:
        """Whether an advertisement would be told to someone."""
        return self.is_powered and bool(self._discovering or any(self._monitors.values()))

    @property
    def is_discovering(self) -> bool:
        """Whether someone listens actively."""
        return bool(self._discovering)

    def forget_discovery(self) -> None:
        """The controller stops to listen and tells nobody, as happens after days."""
        self._discovering.clear()

    def tell_of(self, address: str, *, trusted: bool) -> None:
        """Something of a device changes that it did not say by itself."""
        if known := self._known.get(address):
            self._bluez.change(known.path, DEVICE, {"Trusted": Variant("b", trusted)})

    def linked(self) -> list[str]:
        """The addresses of the devices connected."""
        return [address for address, known in self._known.items() if known.link is not None]

    async def advertise(self, address: str, heard: Advertisement) -> None:
        """A device sends; heard if someone listens and it is not connected. Returns once the bus can take more."""
        self.advertised += 1
        known = self._known.get(address)
        if not self.is_powered or (known is not None and known.link is not None):
            return
        is_active = bool(self._discovering)
        if not is_active and not any(matches(heard, patterns) for patterns in self._monitors.values()):
            return
        now = asyncio.get_running_loop().time()
        if known is None:
            known = self._known[address] = _Known(f"{self.path}/dev_{address.replace(':', '_')}", now)
            self._bluez.add(known.path, {DEVICE: self._first(address, heard)})
        else:
            known.heard = now
            data = {
                name: value for name, value in properties_of(heard).items() if self._is_new(known.path, name, value)
            }
            if is_active or data:
                self._bluez.change(known.path, DEVICE, {"RSSI": Variant("n", heard.rssi)} | data)
        await self._bluez.drain()

    def _is_new(self, path: str, name: str, value: Variant) -> bool:
        before = self._bluez.get(path, DEVICE, name)
        if isinstance(before, dict):
            return {key: inner.value for key, inner in before.items()} != {k: v.value for k, v in value.value.items()}
        return bool(before != value.value)

    def _first(self, address: str, heard: Advertisement) -> dict[str, Variant]:
        return {
            "Address": Variant("s", address), "AddressType": Variant("s", "public"),
            "Alias": Variant("s", address.replace(":", "-")), "Adapter": Variant("o", self.path),
            "Paired": Variant("b", False), "Bonded": Variant("b", False), "Trusted": Variant("b", False),
            "Blocked": Variant("b", False), "LegacyPairing": Variant("b", False), "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False), "UUIDs": Variant("as", []),
            "RSSI": Variant("n", heard.rssi),
        } | properties_of(heard)  # fmt: skip

    async def _forget(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, self.times.forget_s / 4))
            for address, known in list(self._known.items()):
                is_used = known.link is not None or known.pending is not None
                if not is_used and loop.time() - known.heard > self.times.forget_s:
                    del self._known[address]
                    self._bluez.remove(known.path)

    # --- who asks ---------------------------------------------------------------------------------------------------

    def method(self, path: str, interface: str, member: str) -> Method | None:
        """What a method of the radio or of something below it does; None where there is no such method."""
        if path == self.path:
            return {
                (ADAPTER, "StartDiscovery"): self._start_discovery, (ADAPTER, "StopDiscovery"): self._stop_discovery,
                (ADAPTER, "SetDiscoveryFilter"): self._set_filter, (ADAPTER, "RemoveDevice"): self._remove_device,
                (MONITORS, "RegisterMonitor"): self._register, (MONITORS, "UnregisterMonitor"): self._unregister,
            }.get((interface, member))  # fmt: skip
        known = next((k for k in self._known.values() if path == k.path or path.startswith(k.path + "/")), None)
        if known is None:
            return None
        of_device = {
            (DEVICE, "Connect"): self._connect, (DEVICE, "Disconnect"): self._disconnect,
            (CHARACTERISTIC, "ReadValue"): self._read, (CHARACTERISTIC, "WriteValue"): self._write,
            (CHARACTERISTIC, "StartNotify"): self._start_notify, (CHARACTERISTIC, "StopNotify"): self._stop_notify,
        }.get((interface, member))  # fmt: skip
        if of_device is None:
            return None
        return lambda client, body: of_device(known, path, client, body)

    def forget_client(self, client: str) -> None:
        """A client has left the bus: its listening and its notifications end. Its links stay."""
        if client in self._discovering:
            self._leave_discovery(client)
        for monitor in [key for key in self._monitors if key[0] == client]:
            del self._monitors[monitor]
        for known in self._known.values():
            for path, clients in known.notifying.items():
                self._leave_notify(path, clients, client)

    def client_shows(self, client: str, path: str, interfaces: dict[str, dict[str, Variant]]) -> None:
        """A client exports an object: its monitor, maybe, whose patterns are read now."""
        if (client, path) in self._monitors and MONITOR in interfaces:
            self._bluez.run(self._activate(client, path), f"monitor {client}")

    async def _activate(self, client: str, path: str) -> None:
        properties = "org.freedesktop.DBus.Properties"
        patterns = await self._bluez.call(client, path, properties, "Get", "ss", [MONITOR, "Patterns"])
        if patterns is not None and (client, path) in self._monitors:
            self._monitors[client, path] = [(start, kind, bytes(data)) for start, kind, data in patterns.value]
            await self._bluez.call(client, path, MONITOR, "Activate", "", [])

    def _check_ready(self) -> None:
        if not self.is_powered:
            raise BlueZError(NOT_READY, "Resource Not Ready")

    async def _set_filter(self, _client: str, _body: list[Any]) -> Reply:
        return "", []

    async def _start_discovery(self, client: str, _body: list[Any]) -> Reply:
        self._check_ready()
        if client in self._discovering:
            raise BlueZError(IN_PROGRESS, "Operation already in progress")
        self._discovering.add(client)
        self._bluez.change(self.path, ADAPTER, {"Discovering": Variant("b", True)})
        return "", []

    async def _stop_discovery(self, client: str, _body: list[Any]) -> Reply:
        self._check_ready()
        if client not in self._discovering:
            raise BlueZError(FAILED, "No discovery started")
        self._leave_discovery(client)
        return "", []

    def _leave_discovery(self, client: str) -> None:
        self._discovering.discard(client)
        if not self._discovering:
            for known in self._known.values():
                self._bluez.change(known.path, DEVICE, {}, ["RSSI", "TxPower"])
            self._bluez.change(self.path, ADAPTER, {"Discovering": Variant("b", False)})

    async def _remove_device(self, _client: str, body: list[Any]) -> Reply:
        address = next((address for address, known in self._known.items() if known.path == body[0]), None)
        if address is None:
            raise BlueZError(DOES_NOT_EXIST, "Does Not Exist")
        known = self._known.pop(address)
        self._drop(known)
        self._bluez.remove(known.path)
        return "", []

    async def _register(self, client: str, body: list[Any]) -> Reply:
        self._check_ready()
        if (client, body[0]) in self._monitors:
            raise BlueZError("org.bluez.Error.AlreadyExists", "Already Exists")
        self._monitors[client, body[0]] = []  # its patterns are read when the client exports it
        return "", []

    async def _unregister(self, client: str, body: list[Any]) -> Reply:
        if self._monitors.pop((client, body[0]), None) is None:
            raise BlueZError(DOES_NOT_EXIST, "Does Not Exist")
        return "", []

    # --- connected devices ------------------------------------------------------------------------------------------

    async def _connect(self, known: _Known, _path: str, _client: str, _body: list[Any]) -> Reply:
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

    def _resolve(self, known: _Known, peripheral: Peripheral) -> None:
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

    async def _disconnect(self, known: _Known, _path: str, _client: str, _body: list[Any]) -> Reply:
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

    def _drop(self, known: _Known) -> None:
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
    def _end(known: _Known) -> None:
        if known.pending is not None:
            known.pending.cancel()
        if known.link is not None:
            known.link.linked(None)
            known.link = None
        for task in known.asked:
            task.cancel()

    async def _read(self, known: _Known, path: str, _client: str, _body: list[Any]) -> Reply:
        uuid = known.characteristics[path]
        value = await self._ask(known, lambda link: link.read(uuid))
        self._bluez.change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})  # as bluetoothd does
        return "ay", [value]

    async def _write(self, known: _Known, path: str, _client: str, body: list[Any]) -> Reply:
        uuid, value = known.characteristics[path], bytes(body[0])
        await self._ask(known, lambda link: link.write(uuid, value))
        return "", []

    async def _ask(self, known: _Known, question: Callable[[Peripheral], Awaitable[Any]]) -> Any:
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

    async def _start_notify(self, known: _Known, path: str, client: str, _body: list[Any]) -> Reply:
        clients = known.notifying[path]
        if self._bluez.get(path, CHARACTERISTIC, "Notifying") is None:
            raise BlueZError(NOT_SUPPORTED, "Operation is not supported")
        clients.add(client)
        self._bluez.change(path, CHARACTERISTIC, {"Notifying": Variant("b", True)})
        return "", []

    async def _stop_notify(self, known: _Known, path: str, client: str, _body: list[Any]) -> Reply:
        self._leave_notify(path, known.notifying[path], client)
        return "", []

    def _leave_notify(self, path: str, clients: set[str], client: str) -> None:
        if client in clients:
            clients.discard(client)
            if not clients:
                self._bluez.change(path, CHARACTERISTIC, {"Notifying": Variant("b", False)})

    def _tell(self, known: _Known, uuid: str, value: bytes) -> None:
        """A connected device tells a value by itself; only who asked for it hears it."""
        for path, clients in known.notifying.items():
            if clients and known.characteristics[path] == full_uuid(uuid):
                self._bluez.change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})
