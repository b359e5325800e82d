"""What commands write, against the simulator's own reading of registers; and what cannot be written, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Permanent
from contract.profile import DataType, ModbusWrite, Table
from contract.profile.modbus import Order
from edge.drivers.modbus.encode import encode_write
from simulators.modbus.encode import raw_from

COIL = ModbusWrite(table=Table.COIL, address=0, argument="to")
ORDERS = st.sampled_from(list(Order))


def holding(**more: object) -> ModbusWrite:
    return ModbusWrite(table=Table.HOLDING_REGISTER, address=0, **more)


@given(
    number=st.integers(0, 2**64 - 1), words=ORDERS, order=ORDERS,
    data_type=st.sampled_from([t for t in DataType if t.bounds and t is not DataType.BIT]),
)  # fmt: skip
def test_whole_numbers_in_any_order(number: int, words: Order, order: Order, data_type: DataType) -> None:
    low, high = data_type.bounds
    raw = low + number % (high - low + 1)
    write = holding(type=data_type, words=words, bytes=order, value=raw)
    assert raw_from(write, encode_write(write, {})) == raw


@given(raw=st.floats(width=32, min_value=-1e6, max_value=1e6), words=ORDERS, order=ORDERS)
def test_floats_in_any_order(raw: float, words: Order, order: Order) -> None:
    write = holding(type=DataType.FLOAT32, words=words, bytes=order, argument="to", minimum=-1e6, maximum=1e6)
    assert raw_from(write, encode_write(write, {"to": raw})) == raw


@pytest.mark.parametrize(
    ("write", "given_", "words"),
    [
        (holding(argument="to", scale=0.1), 23.5, [235]),
        (holding(argument="to", scale=0.1, offset=-40, minimum=-40), 0, [400]),
        (holding(argument="to", type=DataType.INT16, minimum=-99), -5, [0xFFFB]),
        (holding(argument="to", type=DataType.FLOAT32), 5, [0x40A0, 0]),
        (holding(argument="to", type=DataType.BCD32, maximum=1e8), 12345678, [0x1234, 0x5678]),
        (COIL, True, [1]),
        (COIL, 0, [0]),
    ],
)
def test_an_argument_is_in_the_unit_that_people_use(write: ModbusWrite, given_: float, words: list[int]) -> None:
    assert encode_write(write, {"to": given_}) == words


@pytest.mark.parametrize(
    ("write", "args", "problem"),
    [
        (holding(argument="to"), {"to": 1.5}, "'to' must be a whole number"),
        (holding(argument="to", scale=0.5), {"to": 1.2}, "'to' must be a whole number of steps of 0.5"),
        (holding(argument="to"), {"to": "5"}, "'to' must be a number, it is '5'"),
        (holding(argument="to"), {"to": True}, "'to' must be a number, it is True"),
        (holding(argument="to"), {}, "it needs the argument 'to'"),
        (holding(argument="to", maximum=10), {"to": 11}, "'to' must be 0 to 10, it is 11"),
        (holding(argument="to", maximum=1e9), {"to": 70000}, "'to' is 70000, which does not fit into uint16"),
        (holding(argument="to", type=DataType.BCD16, minimum=-9), {"to": -1},
         "'to' is -1, which does not fit into bcd16"),
        (holding(argument="to", type=DataType.BCD16), {"to": 10000}, "'to' is 10000, which does not fit into bcd16"),
        (holding(argument="to", type=DataType.FLOAT32, maximum=1e300), {"to": 1e200},
         "'to' is 1e+200, which does not fit into float32"),
        (holding(argument="to", maximum=1e999), {"to": float("inf")}, "'to' must be a number, it is inf"),
        (holding(argument="to"), {"to": float("nan")}, "'to' must be a number, it is nan"),
        (COIL, {"to": 2}, "'to' must be on or off (1 or 0), it is 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told(write: ModbusWrite, args: dict[str, object], problem: str) -> None:
    with pytest.raises(Permanent) as e:
        encode_write(write, args)
    assert str(e.value) == problem
