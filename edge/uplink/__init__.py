"""One session with the cloud: proves who the box is, sends its blocks, brings commands and the time.

The conversation is written in contract/session.py. Nothing else of the box waits for the cloud.
"""

from edge.uplink.clock import CloudClock
from edge.uplink.meter import Meter
from edge.uplink.system_clock import keep_system_time, machine_off_ns
from edge.uplink.terms import Terms, terms_of
from edge.uplink.uplink import Uplink

__all__ = ["CloudClock", "Meter", "Terms", "Uplink", "keep_system_time", "machine_off_ns", "terms_of"]
