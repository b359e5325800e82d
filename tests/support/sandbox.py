"""Runs a command under what a systemd unit forbids its process to ask of the kernel.

`python -m tests.support.sandbox UNIT COMMAND…`: system calls, kinds of addresses, and memory that is writable and
executable, as systemd would set them up; its groups of calls (@system-service) are those of this machine's systemd.
Files, devices and users are systemd's alone.
"""

import ctypes
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ALLOW = 0x7FFF0000
REFUSE = 0x00050000
"""Plus an error number. Source: linux/seccomp.h, SECCOMP_RET_*."""
EQUAL = 4
"""Source: seccomp.h of libseccomp, SCMP_CMP_EQ."""
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65
FAMILIES = 46
"""Address families are below this. Source: linux/socket.h, AF_MAX."""


class _Compare(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def values(unit: str, key: str) -> list[str]:
    """What a unit says for a key, in order."""
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def groups() -> dict[str, set[str]]:
    """The system calls of each of systemd's groups."""
    tool = shutil.which("systemd-analyze") or "/usr/bin/systemd-analyze"
    text = subprocess.run([tool, "--no-pager", "syscall-filter"], check=True, capture_output=True, text=True).stdout
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("@"):
            found[line.strip()] = set()
        elif line.startswith("    ") and not line.strip().startswith("#") and found:
            list(found.values())[-1].add(line.strip())
    return found


def calls(unit: str) -> set[str]:
    """The system calls that the unit leaves, taken and given in the order of its lines."""
    known = groups()

    def expand(name: str) -> set[str]:
        return {call for part in known[name] for call in expand(part)} if name.startswith("@") else {name}

    allowed = expand("@default")
    for line in values(unit, "SystemCallFilter"):
        named = {call for word in line.removeprefix("~").split() for call in expand(word)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed - expand("@clock") if values(unit, "ProtectClock") == ["yes"] else allowed


def refuse(unit: str) -> None:
    """Puts this process, and what becomes of it, under the unit's rules. Raises OSError where the kernel cannot."""
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    libc = ctypes.CDLL(None, use_errno=True)
    resolve = lib.seccomp_syscall_resolve_name

    def load(context: int) -> None:
        code = lib.seccomp_load(ctypes.c_void_p(context))
        if code:
            raise OSError(-code, os.strerror(-code))

    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no new privileges")
    families = {getattr(socket, name) for line in values(unit, "RestrictAddressFamilies") for name in line.split()}
    kinds = lib.seccomp_init(ALLOW)
    for family in set(range(FAMILIES)) - families:
        test = (_Compare * 1)(_Compare(0, EQUAL, family, 0))  # of the first argument
        lib.seccomp_rule_add_array(
            ctypes.c_void_p(kinds), REFUSE | errno.EAFNOSUPPORT, resolve(b"socket"), 1, ctypes.byref(test)
        )
    load(kinds)
    filtered = lib.seccomp_init(REFUSE | errno.EPERM)
    for call in sorted(calls(unit)):
        number = resolve(call.encode())
        if number >= 0:  # a call that this machine has not got
            lib.seccomp_rule_add_array(ctypes.c_void_p(filtered), ALLOW, number, 0, None)
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # before Linux 6.3 there is none: then this much is not tested
    load(filtered)


if __name__ == "__main__":
    refuse(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])
