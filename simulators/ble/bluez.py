"""The service `org.bluez` on a private bus: its tree of objects, and who may call what.

Modelled on bluetoothd 5.66 as it was seen to behave, and on its documents (doc/org.bluez.*.rst). Methods that the box
does not use are not there and answered as unknown.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from dbus_fast import Message, MessageType, Variant

from simulators.ble.adapter import Adapter
from simulators.ble.dbus import Connection, PrivateBus
from simulators.ble.links import ADAPTER, BlueZError

NAME = "org.bluez"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
_UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
_INVALID = "org.freedesktop.DBus.Error.InvalidArgs"

Interfaces = dict[str, dict[str, Variant]]


class BlueZ:
    """A bus with a bluetoothd on it, there while open. Its radios come and go with `add_adapter`, `remove_adapter`."""

    def __init__(self, socket: Path | None = None) -> None:
        self.adapters: dict[str, Adapter] = {}
        self._objects: dict[str, Interfaces] = {}
        self._bus = PrivateBus(socket)
        self._connection = Connection(self._take)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    @property
    def address(self) -> str:
        """For DBUS_SYSTEM_BUS_ADDRESS."""
        return self._bus.address

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._bus)
            await self._connection.open(self.address)
            stack.push_async_callback(self._connection.close)
            await self._connection.listen("type='signal',interface='org.freedesktop.DBus',member='NameOwnerChanged'")
            await self._connection.listen(f"type='signal',interface='{_OBJECTS}',member='InterfacesAdded'")
            await self._connection.own(NAME)
            stack.callback(self._stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _stop(self) -> None:
        for adapter in list(self.adapters.values()):
            adapter.close()
        for task in self._tasks:
            task.cancel()

    def add_adapter(self, name: str, *, is_experimental: bool = True) -> Adapter:
        """A radio is plugged in, powered. `is_experimental` is whether bluetoothd offers to listen passively."""
        adapter = self.adapters[name] = Adapter(self, name, is_experimental=is_experimental)
        adapter.show()
        return adapter

    def remove_adapter(self, name: str) -> None:
        """A radio is pulled out: it and everything of it is gone."""
        adapter = self.adapters.pop(name)
        adapter.close()
        for path in sorted(self.paths(adapter.path), reverse=True):
            self.remove(path)

    async def crash(self) -> None:
        """bluetoothd dies without a word and is started again: no object is taken back, all is forgotten."""
        adapters = [(name, adapter.is_experimental) for name, adapter in self.adapters.items()]
        for adapter in self.adapters.values():
            adapter.close()
        self.adapters.clear()
        self._objects.clear()
        await self._connection.disown(NAME)
        await self._connection.own(NAME)
        for name, is_experimental in adapters:
            self.add_adapter(name, is_experimental=is_experimental)

    async def kill_bus(self) -> None:
        """The bus itself dies; it stays dead."""
        await self._bus.__aexit__()

    # --- what adapters need -----------------------------------------------------------------------------------------

    def paths(self, below: str) -> Iterator[str]:
        """The objects at a path and below it."""
        return (path for path in list(self._objects) if path == below or path.startswith(below + "/"))

    def add(self, path: str, interfaces: Interfaces) -> None:
        """An object appears."""
        self._objects[path] = interfaces
        self._signal("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def remove(self, path: str) -> None:
        """An object goes; harmless where there is none."""
        interfaces = self._objects.pop(path, None)
        if interfaces is not None:
            self._signal("/", _OBJECTS, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def get(self, path: str, interface: str, name: str) -> Any:
        """The value of a property, None where there is none."""
        variant = self._objects.get(path, {}).get(interface, {}).get(name)
        return None if variant is None else variant.value

    def change(self, path: str, interface: str, changed: dict[str, Variant], gone: Iterable[str] = ()) -> None:
        """Properties take values, or are there no more; nothing is said of an object there is not."""
        properties = self._objects.get(path, {}).get(interface)
        if properties is None:
            return
        properties.update(changed)
        lost = [name for name in gone if properties.pop(name, None) is not None]
        if changed or lost:
            self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, lost])

    async def call(self, client: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Any:
        """Calls a method of a client's object; what it returned, or None where it failed."""
        answer = await self._connection.call(
            Message(destination=client, path=path, interface=interface, member=member, signature=signature, body=body)
        )
        return answer.body[0] if answer.message_type is MessageType.METHOD_RETURN and answer.body else None

    async def drain(self) -> None:
        """Returns once the bus has taken enough of what was said; whoever sends bursts waits here."""
        await self._connection.drain()

    def run(self, work: Any, name: str) -> "asyncio.Task[None]":
        """A task that ends with this service at the latest."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what clients ask -------------------------------------------------------------------------------------------

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._connection.send(Message.new_signal(path, interface, member, signature, body))

    def _take(self, message: Message) -> None:
        if message.message_type is MessageType.METHOD_CALL:
            self.run(self._answer(message), f"{message.member} {message.path}")
        elif message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, new = message.body
            if name.startswith(":") and not new:
                for adapter in self.adapters.values():
                    adapter.forget_client(name)
        elif message.message_type is MessageType.SIGNAL and message.sender != self._connection.name:
            for adapter in self.adapters.values():
                adapter.client_shows(message.sender or "", *message.body)

    async def _answer(self, message: Message) -> None:
        try:
            signature, body = await self._do(message)
        except BlueZError as e:
            reply = Message.new_error(message, e.name, str(e))
        else:
            reply = Message.new_method_return(message, signature, body)
        self._connection.send(reply)

    async def _do(self, message: Message) -> tuple[str, list[Any]]:
        path, interface, member = message.path or "", message.interface or "", message.member or ""
        if (path, interface, member) == ("/", _OBJECTS, "GetManagedObjects"):
            return "a{oa{sa{sv}}}", [self._objects]
        if path not in self._objects:
            raise BlueZError(_UNKNOWN_OBJECT, f'Method "{member}" on object {path} does not exist')
        if interface == _PROPERTIES:
            return self._do_property(path, member, message.body)
        adapter = next((a for a in self.adapters.values() if path == a.path or path.startswith(a.path + "/")), None)
        method = adapter.method(path, interface, member) if adapter and interface in self._objects[path] else None
        if method is None:
            raise BlueZError(
                _UNKNOWN_METHOD, f'Method "{member}" with signature on interface "{interface}" does not exist'
            )
        return await method(message.sender or "", message.body)

    def _do_property(self, path: str, member: str, body: list[Any]) -> tuple[str, list[Any]]:
        properties = self._objects[path].get(body[0])
        if properties is None:
            raise BlueZError(_INVALID, f"No such interface {body[0]}")
        if member == "GetAll":
            return "a{sv}", [properties]
        if body[1] not in properties:
            raise BlueZError(_INVALID, f"No such property {body[1]!r}")
        if member == "Get":
            return "v", [properties[body[1]]]
        if (body[0], body[1]) == (ADAPTER, "Powered"):
            next(a for a in self.adapters.values() if a.path == path).power(bool(body[2].value))
            return "", []
        raise BlueZError("org.freedesktop.DBus.Error.PropertyReadOnly", f"Property {body[1]!r} is not writable")
