"""How the driver times what a site file leaves open, and what it takes at most."""

import msgspec


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. Tests use shorter ones."""

    timeout_s: float = 10.0
    """The broker answers within this: a connection, a subscription, an acknowledgement."""
    reconnect_s: float = 0.2
    reconnect_max_s: float = 30.0
    settle_s: float = 1.0
    """So long after it is heard again, a broker has told what it kept of who is on line."""
    ask_after_s: float = 0.3
    """A device that has not shown a command's effect by itself is asked after this."""
    watch_s: float = 1.0
    """How often it is looked who fell silent."""


DEFAULT_TIMING = Timing()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may wait to be taken. A device that floods loses its own oldest messages, and no other's."""

    messages: int = 64
    """Of one subscription."""
    total_bytes: int = 8 * 1024 * 1024
    """Of all together; beyond, whoever has most loses its oldest."""


DEFAULT_LIMITS = Limits()
