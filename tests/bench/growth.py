"""What a box costs the cloud as boxes become ten and a hundred times as many: memory, CPU, and an alarm's delay."""

from itertools import pairwise
from pathlib import Path

from tests.bench.boxes import Measured, measure
from tests.bench.figures import Figure

SIZES = (100, 1_000, 10_000)


async def boxes(folder: Path) -> list[Figure]:
    """Memory of each box and p99 of an alarm's way with most boxes, and how each box's share changed up to there."""
    found = []
    for size in SIZES:
        (folder / str(size)).mkdir()
        found.append(await measure(folder / str(size), size))
        print(found[-1].note())
    most = found[-1]
    notes = "; ".join(one.note() for one in found)
    figures = [
        Figure(name="boxes.kb_each", value=most.kb_each, unit="KB", most=60, note=most.note()),
        Figure(
            name="boxes.urgent_p99_ms", value=most.p("urgent", 99), unit="ms", most=200,
            note="from send to the answer, which comes after COMMIT",
        ),
        Figure(name="growth.kb_each", value=_more_kb(found[1], most), unit="KB", note=f"each more box; {notes}"),
    ]  # fmt: skip
    for before, after in pairwise(found):
        times = after.boxes // before.boxes
        figures.append(
            Figure(
                name=f"growth.cpu_{after.boxes // SIZES[0]}x", value=_cpu(after) / _cpu(before), unit="× CPU a box",
                note=f"{times} × the boxes, {before.boxes} to {after.boxes}: server CPU of each, database included;"
                f" {1000 * _cpu(before):.2f} to {1000 * _cpu(after):.2f} ms a second",
            )
        )  # fmt: skip
    return figures


def _more_kb(before: Measured, after: Measured) -> float:
    """Server memory of each further box."""
    return (after.front_kb + after.cloud_kb - before.front_kb - before.cloud_kb) / (after.boxes - before.boxes)


def _cpu(one: Measured) -> float:
    """CPU seconds a second and box, of everything on the server's side."""
    return (one.front_cpu + one.cloud_cpu + one.database_cpu) / one.boxes
