"""How the driver times what a site file leaves open. The defaults suit a panel on a LAN and a slow serial gateway."""

import msgspec


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, and shares of the bus's time. Tests use shorter ones."""

    first_s: float = 0.25
    """Time-out of a question to a silent unit while no unit on the bus has told how slow answers are."""
    known_s: float = 0.15
    """Shortest time-out of a question to a unit that has answered so far; longer where its answers are slow."""
    probe_s: float = 0.05
    """Shortest time-out of a question to a silent unit; longer where answers on this bus are slow."""
    probe_share: float = 0.03
    """Most of the bus's time that waiting for silent units may take while others answer."""
    full_every: int = 8
    """Each so manieth question to a silent unit waits the full time-out, so that one that became slow is found."""
    few: int = 2
    """While no more units than these are silent, they are asked again after a pause of `pause_max_s` at most."""
    pause_max_s: float = 5.0
    backoff_s: float = 1.0
    backoff_max_s: float = 10.0
    busy_s: float = 0.25
    """Pause before a unit that asked for time is asked again."""
    pleas: int = 4
    """So often in a row a unit may ask for time until its poll has failed."""
    cuts: int = 2
    """So often in a row the wait for a unit may be cut short for commands until that is its silence."""
    unheard_s: float = 60.0
    """Connection or port are opened anew when every question of so long stayed unanswered."""
    reconnect_s: float = 0.2
    reconnect_max_s: float = 30.0
    confirm_every_s: float = 0.1


DEFAULT_TIMING = Timing()
