"""The box's own page for who is on duty, on the local network, for when the cloud cannot be reached.

It shows alarms, zones and what linkage did, and takes a few orders; each of them is recorded. It asks for a password,
and is not encrypted: it belongs on the guards' network.
"""

from edge.guard.server import Guard

__all__ = ["Guard"]
