"""The site file: what is connected to one box, by protocol, and how it is loaded and checked."""

from contract.site.ble import BleBus, BleDevice
from contract.site.common import SEAL_S, Bus, Cloud, Device, Estate, Proxy, Secret, SitePlace, Storage
from contract.site.linkage import GuardPage, Rule, RuleAction, Zone
from contract.site.load import (
    LINK_HEARTBEAT_S,
    AnyBus,
    Resolved,
    ResolvedBle,
    ResolvedDevice,
    ResolvedModbus,
    ResolvedMqtt,
    Site,
    check_site,
    inventory_of,
    load_site,
    resolve,
    site_digest,
)
from contract.site.modbus import AnyModbusBus, ModbusBus, ModbusDevice, ModbusRtuBus, ModbusRtuTcpBus, ModbusTcpBus
from contract.site.mqtt import MqttBus, MqttDevice

__all__ = [
    "LINK_HEARTBEAT_S",
    "SEAL_S",
    "AnyBus",
    "AnyModbusBus",
    "BleBus",
    "BleDevice",
    "Bus",
    "Cloud",
    "Device",
    "Estate",
    "GuardPage",
    "ModbusBus",
    "ModbusDevice",
    "ModbusRtuBus",
    "ModbusRtuTcpBus",
    "ModbusTcpBus",
    "MqttBus",
    "MqttDevice",
    "Proxy",
    "Resolved",
    "ResolvedBle",
    "ResolvedDevice",
    "ResolvedModbus",
    "ResolvedMqtt",
    "Rule",
    "RuleAction",
    "Secret",
    "Site",
    "SitePlace",
    "Storage",
    "Zone",
    "check_site",
    "inventory_of",
    "load_site",
    "resolve",
    "site_digest",
]  # fmt: skip
