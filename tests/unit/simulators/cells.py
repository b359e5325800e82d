"""A unit with ten cells in every table."""

from contract.profile import Table
from simulators.modbus.pdu import ILLEGAL_ADDRESS, ModbusException


class Cells:
    """Ten cells in every table, all 0 at first."""

    refuses = frozenset()

    def __init__(self) -> None:
        self.tables = {table: [0] * 10 for table in Table}

    def read(self, table: Table, address: int, count: int) -> list[int]:
        if address + count > 10:
            raise ModbusException(ILLEGAL_ADDRESS)
        return self.tables[table][address : address + count]

    def write(self, table: Table, address: int, values: list[int]) -> None:
        self.read(table, address, len(values))
        self.tables[table][address : address + len(values)] = values
