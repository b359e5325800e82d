"""Becomes a command that ends when its parent does, however that ends: `python launch.py PARENT COMMAND…`.

Run as a file without the site packages, which takes 10 ms. It asks the kernel in the child itself, after the fork, so
that nothing of ours runs between fork and exec in a process that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Source: linux/prctl.h. Outlives exec; the "parent" is the thread that forked."""


def main(parent: int, command: list[str]) -> None:
    """Becomes the command. Exits with 1 where `parent` died before the kernel could be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # our own words, no shell


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
