"""bthome-ble and the model of an advertisement that it takes, without the rest of the package that this comes from.

`import habluetooth` brings a whole scanner manager, which this driver has no use for: 3 MB of the box's memory. Its
models need none of it, so the package is entered without its `__init__`; bthome-ble then finds the names it asks for.
"""

import sys
from importlib.util import find_spec
from types import ModuleType

PACKAGE = "habluetooth"
_NAMES = ("BluetoothServiceInfo", "BluetoothServiceInfoBleak")


def enter_package() -> None:
    """Makes `habluetooth` hold its models alone; does nothing where it is imported already."""
    spec = find_spec(PACKAGE)
    if PACKAGE in sys.modules or spec is None or spec.submodule_search_locations is None:
        return
    package = ModuleType(PACKAGE)
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations)
    sys.modules[PACKAGE] = package
    try:
        from habluetooth import models

        for name in _NAMES:
            setattr(package, name, getattr(models, name))
    except (ImportError, AttributeError):  # another version than we know: then all of it
        del sys.modules[PACKAGE]


enter_package()

from bthome_ble import BTHomeBluetoothDeviceData  # noqa: E402  # after it
from habluetooth import BluetoothServiceInfoBleak  # noqa: E402

__all__ = ["BTHomeBluetoothDeviceData", "BluetoothServiceInfoBleak"]
