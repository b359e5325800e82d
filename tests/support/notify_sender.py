"""A sender in a process of its own: `python -m tests.support.notify_sender DATABASE_URL MINUTE_S`, until it is ended.

Channels are real ones; their secrets and what they may connect to come from the environment.
"""

import asyncio
import sys

from cloud.notify.channels import make_channel
from cloud.notify.describe import describer
from cloud.notify.sender import Sender
from cloud.notify.tools import read_tools
from cloud.store import Database


async def main(url: str, minute_s: float) -> None:
    tools = read_tools()
    async with Database.open(url, 6) as database:
        sender = Sender(
            database,
            lambda row: make_channel(row.kind, row.config, tools),
            describer(lambda rule, language: None),
            "https://anju.example.org",
            minute_s=minute_s,
        )
        print("ready", flush=True)
        await sender.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
