"""What the box must know of a radio and bleak does not tell: that it is there, and at once when it is gone.

A connection of its own to the system bus, to which bluetoothd's signals about this one radio come.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Self

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from contract.errors import Retryable

BLUEZ = "org.bluez"
_ADAPTER = "org.bluez.Adapter1"
_DEVICE = "org.bluez.Device1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_CALL_S = 10.0


class Lost(Retryable):
    """There is no radio to use, and why."""


class Adapter:
    """Watches one radio while open. `lost` is done, with the reason, when it is gone."""

    def __init__(self, name: str) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._name, self._path = name, f"/org/bluez/{name}"
        self._bus = MessageBus(bus_type=BusType.SYSTEM)

    async def __aenter__(self) -> Self:
        """Raises Lost where the radio is not there or not powered."""
        try:
            async with asyncio.timeout(_CALL_S):
                await self._bus.connect()
                self._bus.add_message_handler(self._take)
                await self._listen("interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'")
                await self._listen(f"path='{self._path}',interface='{_PROPERTIES}',member='PropertiesChanged'")
                gone = "interface='org.freedesktop.DBus.ObjectManager',member='InterfacesRemoved'"
                await self._listen(f"sender='{BLUEZ}',{gone},arg0path='{self._path}'")
                await self._check_there()
        except (DBusError, OSError, EOFError, TimeoutError, ValueError) as e:
            self._bus.disconnect()
            raise Lost(f"the system's D-Bus cannot be used: {str(e) or type(e).__name__}") from e
        except BaseException:
            self._bus.disconnect()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()

    async def _listen(self, rule: str) -> None:
        await self._bus.call(
            Message(
                destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus",
                member="AddMatch", signature="s", body=[f"type='signal',{rule}"],
            )
        )  # fmt: skip

    async def _check_there(self) -> None:
        reply = await self._call(self._path, _PROPERTIES, "Get", "ss", [_ADAPTER, "Powered"])
        if reply.message_type is MessageType.ERROR:
            if reply.error_name == "org.freedesktop.DBus.Error.ServiceUnknown":
                raise Lost("bluetoothd does not run; say: systemctl status bluetooth")
            if reply.error_name == "org.freedesktop.DBus.Error.AccessDenied":
                raise Lost("this user may not talk to bluetoothd; put it into the group bluetooth")
            raise Lost(f"there is no Bluetooth adapter {self._name}; is it plugged in? `bluetoothctl list` shows all")
        if not reply.body[0].value:
            raise Lost(f"the Bluetooth adapter {self._name} is switched off; say: bluetoothctl power on")

    async def _call(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Message:
        reply = await self._bus.call(
            Message(destination=BLUEZ, path=path, interface=interface, member=member, signature=signature, body=body)
        )
        assert reply is not None  # it is a call, and asks for an answer
        return reply

    async def disconnect_left_over(self, addresses: Collection[str]) -> list[str]:
        """Ends links to these devices that a run before left: linked, they advertise no more. Returns whose it did."""
        freed = []
        try:
            async with asyncio.timeout(_CALL_S):
                reply = await self._call("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", [])
                objects = reply.body[0] if reply.message_type is MessageType.METHOD_RETURN else {}
                for path, interfaces in objects.items():
                    of_device = interfaces.get(_DEVICE, {})
                    if not path.startswith(self._path + "/") or "Address" not in of_device:
                        continue
                    address = of_device["Address"].value
                    if address in addresses and of_device["Connected"].value:
                        await self._call(path, _DEVICE, "Disconnect", "", [])
                        freed.append(address)
        except (DBusError, OSError, EOFError, TimeoutError) as e:
            raise Lost(f"bluetoothd does not answer: {str(e) or type(e).__name__}") from e
        return freed

    async def wait_lost(self) -> str:
        """Returns, with the reason, once the radio is gone, or the way to know it."""
        gone = asyncio.ensure_future(self._bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait({self.lost, gone}, return_when=asyncio.FIRST_COMPLETED)
            return self.lost.result() if self.lost.done() else "the system's D-Bus is gone"
        finally:
            gone.cancel()

    def _take(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or self.lost.done():
            return
        body = message.body
        if message.member == "NameOwnerChanged" and body[0] == BLUEZ:
            self.lost.set_result("bluetoothd stopped" if not body[2] else "bluetoothd was started anew")
        elif message.member == "InterfacesRemoved" and body[0] == self._path and _ADAPTER in body[1]:
            self.lost.set_result(f"the Bluetooth adapter {self._name} was pulled out or reset")
        elif message.member == "PropertiesChanged" and message.path == self._path and body[0] == _ADAPTER:
            powered = body[1].get("Powered")
            if powered is not None and not powered.value:
                self.lost.set_result(f"the Bluetooth adapter {self._name} was switched off")
