"""Libraries that are put before libc into a process under test, compiled from their source where that changed."""

import os
import shutil
import subprocess
from pathlib import Path

BUILT = Path(__file__).parents[2] / "build" / "tests"


def library(source: Path) -> Path:
    """The shared library of a C file. Raises AssertionError without a C compiler."""
    built = BUILT / f"{source.stem}.so"
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, f"{source.name} needs a C compiler: make test-servers (or apt-get install gcc libc6-dev)"
    built.parent.mkdir(parents=True, exist_ok=True)
    made = built.with_suffix(f".{os.getpid()}")
    flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *flags, "-o", str(made), str(source), "-lpthread"], check=True)
    made.replace(built)  # whole or not at all: other tests may build it at the same time
    return built
