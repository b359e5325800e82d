"""On disk before it counts: what the box has to say, as two chained streams of sealed blocks (decisions 1-4).

`Outbox` is the asyncio side: it takes readings and records and hands out blocks. `StreamFile` is one SQLite file, used
by one thread of its own, so that an fsync never holds up the event loop.
"""

from edge.outbox.outbox import Outbox

__all__ = ["Outbox"]
