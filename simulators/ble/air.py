"""An advertisement as BlueZ tells of it over D-Bus, and as a monitor's patterns see it on the air. Pure."""

import re

from dbus_fast import Variant

from simulators.ble.peripheral import Advertisement, full_uuid


def properties_of(heard: Advertisement) -> dict[str, Variant]:
    """The properties that an advertisement says, as BlueZ types them; what it does not say is not among them."""
    data: dict[str, Variant] = {}
    if heard.name is not None:
        # bluetoothd keeps what is UTF-8 and replaces the rest; D-Bus strings hold no NUL.
        name = re.sub("\0.*", "", heard.name.encode(errors="replace").decode(errors="replace"), flags=re.DOTALL)
        data |= {"Name": Variant("s", name), "Alias": Variant("s", name)}
    if heard.manufacturer:
        data["ManufacturerData"] = Variant("a{qv}", {k: Variant("ay", v) for k, v in heard.manufacturer.items()})
    if heard.service:
        data["ServiceData"] = Variant("a{sv}", {full_uuid(k): Variant("ay", v) for k, v in heard.service.items()})
    if heard.uuids:
        data["UUIDs"] = Variant("as", [full_uuid(uuid) for uuid in heard.uuids])
    return data


_MANUFACTURER, _SERVICE_16, _SERVICE_32, _SERVICE_128 = 0xFF, 0x16, 0x20, 0x21
"""Kinds of data in an advertisement. Source: Bluetooth SIG, Assigned Numbers, section 2.3."""


def matches(heard: Advertisement, patterns: list[tuple[int, int, bytes]]) -> bool:
    """Whether one of a monitor's patterns (start, kind of data, bytes) is in an advertisement as it is on the air."""
    on_air = [(_MANUFACTURER, company.to_bytes(2, "little") + data) for company, data in heard.manufacturer.items()]
    for uuid, data in heard.service.items():
        whole = full_uuid(uuid)
        raw = bytes.fromhex(whole.replace("-", ""))
        if whole.endswith("-0000-1000-8000-00805f9b34fb"):
            short = raw[2:4] if not any(raw[:2]) else raw[:4]
            on_air.append((_SERVICE_16 if len(short) == 2 else _SERVICE_32, short[::-1] + data))
        else:
            on_air.append((_SERVICE_128, raw[::-1] + data))
    return any(
        kind == wanted and data[start : start + len(content)] == content
        for start, wanted, content in patterns
        for kind, data in on_air
    )
