"""Network namespaces, by iproute2: places of their own for processes under test. They need root."""

import asyncio
import shutil
from contextlib import suppress

Place = tuple[str, ...]
"""What goes before every command that is to run in a namespace; nothing for this one."""


def inside(name: str) -> Place:
    """The place that a namespace is. Not `ip netns exec`, which mounts a /sys of its own: not everywhere it may."""
    return (shutil.which("nsenter") or "/usr/bin/nsenter", f"--net=/run/netns/{name}")


async def ip(*arguments: str, place: Place = ()) -> str:
    """Runs `ip` in a place and returns what it printed. Raises OSError with what it said."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*place, "ip", *arguments, stdout=pipe, stderr=pipe)
    out, error = await process.communicate()
    if process.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {error.decode().strip()}")
    return out.decode()


async def remove(name: str) -> None:
    """Lets a namespace go, if there is one, and the cables into it with it."""
    with suppress(OSError):
        await ip("netns", "del", name)
