"""Which connection a bus of the site file means."""

from contract.site import AnyModbusBus, ModbusRtuBus, ModbusTcpBus
from edge.drivers.modbus.tcp import TcpWire
from edge.drivers.modbus.wire import Wire


def wire_of(bus: AnyModbusBus) -> Wire:
    """A connection that is not open yet. A box without serial lines does not load what they need."""
    if isinstance(bus, ModbusTcpBus):
        return TcpWire(bus.host, bus.port)
    from edge.drivers.modbus.line import RtuWire
    from edge.drivers.modbus.port import SerialPort, TcpPort

    if isinstance(bus, ModbusRtuBus):
        return RtuWire(SerialPort(bus.port, bus.baud, bus.parity, bus.stop_bits), bus.line)
    return RtuWire(TcpPort(bus.host, bus.port), bus.line)
