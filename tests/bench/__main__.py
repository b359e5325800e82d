"""Runs the benchmarks named (all without names) and writes build/bench.json."""

import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.box_at_rest import box_at_rest
from tests.bench.figures import Figure
from tests.bench.smoke_to_page import smoke_to_page

BENCHES: dict[str, Callable[[Path], Awaitable[list[Figure]]]] = {
    "smoke_to_page": smoke_to_page,
    "box_at_rest": box_at_rest,
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
        with tempfile.TemporaryDirectory(prefix="anju-bench-") as folder:
            figures += await BENCHES[name](Path(folder))
    table = Table(title="Anju benchmarks", title_justify="left")
    for heading in ("figure", "value", "unit", "limit", "note"):
        right = heading in {"value", "limit"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading == "figure")
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        table.add_row(
            figure.name, f"{figure.value:.4g}", figure.unit, limit, figure.note, style="red" if figure.missed else ""
        )
    Console().print(table)
    OUT.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
    OUT.write_text(json.dumps({"machine": machine, "figures": {f.name: f.as_json() for f in figures}}, indent=2) + "\n")
    return int(any(figure.missed for figure in figures))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
