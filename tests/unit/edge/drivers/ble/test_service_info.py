"""The BLE driver needs one class of habluetooth, and must not bring the rest of it into the box's memory."""

import subprocess
import sys

ALONE = """
import sys
import edge.drivers.ble
from bthome_ble import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak
assert BluetoothServiceInfoBleak.__module__ == "habluetooth.models"
brought = sorted(name for name in sys.modules if name.startswith("habluetooth."))
assert "habluetooth.manager" not in brought, brought
"""


def test_only_its_models_are_imported() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
