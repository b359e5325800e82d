"""Waiting for what a test cannot be told of."""

import asyncio


async def eventually(condition, timeout_s=10):
    """Returns once the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # it looks at things that tell nobody when they change
            await asyncio.sleep(0.01)
