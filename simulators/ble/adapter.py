"""One radio of the simulated BlueZ: who listens how, what is heard, who is connected.

Facts it keeps to (bluetoothd 5.66, kernel 6.1): while someone discovers, every advertisement is told, also an identical
one; a monitor alone (passive) tells only of changed data. A link outlives the client that made it, and a connected
device advertises no more. A device not heard for half a minute and not connected is forgotten.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from dbus_fast import Variant

from simulators.ble.air import matches, properties_of
from simulators.ble.links import (
    ADAPTER,
    CHARACTERISTIC,
    DEVICE,
    DOES_NOT_EXIST,
    FAILED,
    IN_PROGRESS,
    MONITOR,
    MONITORS,
    BlueZError,
    Known,
    Links,
    Method,
    Reply,
)
from simulators.ble.peripheral import Advertisement

if TYPE_CHECKING:
    from simulators.ble.bluez import BlueZ


class Adapter(Links):
    """A radio. Sensors `advertise` through it; clients reach it over D-Bus."""

    def __init__(self, bluez: "BlueZ", name: str, *, is_experimental: bool) -> None:
        super().__init__(bluez, name)
        self.is_experimental = is_experimental
        self.advertised = 0
        """Advertisements that came by, heard or not."""
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
            known = self._known[address] = Known(f"{self.path}/dev_{address.replace(':', '_')}", now)
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
