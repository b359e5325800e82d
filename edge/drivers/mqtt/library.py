"""aiomqtt, without what paho imports for SOCKS proxies that this box has no package for.

paho asks `urllib.request` for a proxy once PySocks is there, and else not at all; but it imports it always, and with it
an HTTP client and the e-mail package: 2 MB of the box's memory.
"""

import sys
from importlib.util import find_spec
from types import ModuleType

UNUSED = "urllib.request"


def import_lean() -> None:
    """Imports aiomqtt with an empty stand-in for what it does not use; in full where something could use it."""
    if find_spec("socks") is not None or UNUSED in sys.modules:
        import aiomqtt

        return
    sys.modules[UNUSED] = ModuleType(UNUSED)
    try:
        import aiomqtt  # noqa: F401
    finally:
        del sys.modules[UNUSED]


import_lean()

import aiomqtt  # noqa: E402  # after it
from aiomqtt import Message  # noqa: E402
from paho.mqtt.packettypes import PacketTypes  # noqa: E402
from paho.mqtt.properties import Properties  # noqa: E402
from paho.mqtt.reasoncodes import ReasonCode  # noqa: E402

__all__ = ["Message", "PacketTypes", "Properties", "ReasonCode", "aiomqtt"]
