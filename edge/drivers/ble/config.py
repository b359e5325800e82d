"""How the driver times what profile and site file leave open. The defaults suit a USB radio and battery sensors."""

import msgspec


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. Tests use shorter ones."""

    again_s: float = 5.0
    """What a sensor repeats unchanged is handed on this often, as a sign of life."""
    event_gap_s: float = 4.0
    """The same packet without a number or counter is a new event after so long a pause. Source: BTHome's receivers."""
    connect_s: float = 15.0
    """A connect, all its attempts together, may take this."""
    attempts: int = 3
    answer_s: float = 5.0
    """A read or write of a connected device may take this."""
    fresh_s: float = 25.0
    """A device heard within this can be connected: BlueZ forgets it after half a minute."""
    connect_share: float = 0.25
    """Most of the radio's time that connects which fail may take, for nothing is heard meanwhile; commands besides."""
    backoff_s: float = 2.0
    backoff_max_s: float = 600.0
    reconnect_s: float = 0.2
    reconnect_max_s: float = 15.0
    stall_s: float = 120.0
    """When an active scan heard nothing at all for so long it is begun anew; a passive one after ten times this."""
    confirm_every_s: float = 0.1
    save_s: float = 300.0
    """Counters of encrypted sensors are put on disk this often; those of events at once."""


DEFAULT_TIMING = Timing()
