"""Runs the benchmarks named (all without names), prints a table and writes build/bench.json."""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.block_eval import block_eval
from tests.bench.burst import burst
from tests.bench.catchup import catchup
from tests.bench.codec import codec
from tests.bench.end_to_end import end_to_end
from tests.bench.fewer import fewer
from tests.bench.figures import Figure
from tests.bench.fire_to_notification import fire_to_notification
from tests.bench.growth import boxes
from tests.bench.idle_bytes import idle_bytes
from tests.bench.ingest import ingest
from tests.bench.ingest_layouts import ingest_layouts
from tests.bench.landed_day import landed_day
from tests.bench.linkage import linkage
from tests.bench.modbus_read import modbus_read
from tests.bench.outbox import outbox
from tests.bench.path import path
from tests.bench.queries import queries
from tests.bench.rest import rest
from tests.bench.rss import rss
from tests.bench.smoke_to_page import smoke_to_page
from tests.bench.start import start
from tests.bench.timers import timers

BENCHES: dict[str, Callable[[Path], Awaitable[list[Figure]]]] = {
    "modbus": modbus_read,
    "path": path,
    "rss": rss,
    "rest": rest,
    "start": start,
    "linkage": linkage,
    "smoke_to_page": smoke_to_page,
    "codec": codec,
    "queries": queries,
    "landed_day": landed_day,
    "outbox": outbox,
    "ingest": ingest,
    "ingest_layouts": ingest_layouts,
    "burst": burst,
    "catchup": catchup,
    "idle_bytes": idle_bytes,
    "boxes": boxes,
    "fewer": fewer,
    "block_eval": block_eval,
    "timers": timers,
    "fire_to_notification": fire_to_notification,
    "end_to_end": end_to_end,
}
OUT = Path("build/bench.json")


async def main(names: list[str]) -> int:
    """Runs and reports; 1 when a figure misses its limit, 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
        return 2
    figures: list[Figure] = []
    for name in names or BENCHES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="anju-bench-") as folder:
            figures += await BENCHES[name](Path(folder))
        print(f"{name}: {time.monotonic() - began:.0f} s")
    write(figures, is_all=not names)
    Console(width=None if sys.stdout.isatty() else 200).print(table_of(figures))
    return int(any(figure.missed for figure in figures))


def table_of(figures: list[Figure]) -> Table:
    """The figures for people; those beyond their limit are red and say so."""
    table = Table(title="Anju benchmarks", title_justify="left", show_lines=True)
    for heading in ("figure", "value", "unit", "limit", "rival", "note"):
        right = heading in {"value", "limit"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading in {"figure", "value", "limit"})
    for figure in figures:
        beside = "" if figure.rival_value is None else f"{figure.rival_value:.4g} "
        table.add_row(
            figure.name, f"{figure.value:.4g}", figure.unit, f"{figure.limit}{' missed' if figure.missed else ''}",
            f"{beside}{figure.rival or ''}", figure.note, style="red" if figure.missed else "",
        )  # fmt: skip
    return table


def write(figures: list[Figure], *, is_all: bool) -> None:
    """Into build/bench.json; a run of some keeps the figures of the others from before."""
    OUT.parent.mkdir(exist_ok=True)
    before: dict[str, Any] = {} if is_all or not OUT.exists() else json.loads(OUT.read_text(encoding="utf-8"))
    content = {name: entry for name, entry in before.items() if "value" in entry}
    content |= {"machine": machine()} | {figure.name: figure.as_json() for figure in figures}
    OUT.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures were measured on, when, and of which commit."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": model[0].partition(": ")[2] if model else "",
        "cpus": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "commit": commit.stdout.strip(),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    sys.exit(asyncio.run(main(parser.parse_args().names)))
