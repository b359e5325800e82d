"""A console over the made-up estate, served on a port of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.support.console_preview import Console, served


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with served(beat_s=0.2) as running:
        yield running
