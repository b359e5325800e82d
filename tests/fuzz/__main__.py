"""Hunts in the targets named (all without names), two at a time, and writes build/fuzz.json (`make fuzz`).

    python -m tests.fuzz [NAME…] --minutes 10

Coverage-guided by atheris; with --hypothesis by mutations of the seeds alone, where there is no atheris. What was found
lies in build/fuzz/NAME: `find-*.bin` with its traceback beside it; `--again FILE` runs one such input and shows it. The
corpus stays there, so that the next hunt goes on where this one ended.
"""

import argparse
import asyncio
import importlib.util
import json
import logging
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from tests.fuzz.target import cost_of
from tests.fuzz.targets import TARGETS, seeds_of

OUT = Path("build/fuzz.json")
FOLDER = Path("build/fuzz")
AT_ONCE = 2
RSS_LIMIT_MB = 600
HANG_S = 20
_GRACE_S = 120
_DONE = re.compile(rb"^Done \d+ runs in (\d+) second", re.MULTILINE)
_STAT = re.compile(rb"^stat::(\w+):\s+(\d+)", re.MULTILINE)


@dataclass
class Result:
    """What a hunt came to. `crashes` are places where something was found; `peak_kb` and `cpu_ms` the most that one
    input of the corpus took, without instruments; `peak_rss_mb` the whole process with its corpus and instruments."""

    target: str
    engine: str
    executions: int = 0
    minutes: float = 0.0
    crashes: int = 0
    finds: list[str] = field(default_factory=list)
    peak_rss_mb: int = 0
    corpus: int = 0
    peak_kb: int = 0
    cpu_ms: float = 0.0


async def main(names: list[str], minutes: float, *, by_mutation: bool) -> int:
    """Hunts and reports; 1 where something was found."""
    turn, measuring = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def hunted(name: str) -> Result:
        async with turn:
            result = await _hunt(name, minutes, by_mutation=by_mutation)
        async with measuring:  # one at a time, for memory is the process's
            await asyncio.to_thread(_measure, name, result)
        _write(result)
        print(json.dumps(asdict(result)), flush=True)
        return result

    results = await asyncio.gather(*(hunted(name) for name in names))
    return int(any(result.crashes for result in results))


async def _hunt(name: str, minutes: float, *, by_mutation: bool) -> Result:
    folder = FOLDER / name
    for part in ("corpus", "seeds"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("find-*"), *folder.glob("slow.bin"), *(folder / "seeds").iterdir()):
        old.unlink()
    target = TARGETS[name]
    for n, seed in enumerate(seeds_of(name)):
        (folder / "seeds" / f"{n:03}").write_bytes(seed)
    (folder / "words").write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    seconds = round(60 * minutes)
    if by_mutation:
        command = [sys.executable, "-m", "tests.fuzz.mutate", name, str(folder), str(seconds)]
    else:
        command = [
            sys.executable, "-m", "tests.fuzz.hunt", name, str(folder), f"-max_total_time={seconds}",
            f"-max_len={target.most_bytes}", f"-rss_limit_mb={RSS_LIMIT_MB}", f"-timeout={HANG_S}",
            f"-artifact_prefix={folder}/find-", "-print_final_stats=1",
            *([f"-dict={folder / 'words'}"] if target.words else []), str(folder / "corpus"), str(folder / "seeds"),
        ]  # fmt: skip
    began_s = time.monotonic()
    with (folder / "log.txt").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(seconds + _GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    result = Result(name, "mutations of seeds (hypothesis)" if by_mutation else "atheris")
    result.minutes = round((time.monotonic() - began_s) / 60, 1)
    said_text = (folder / "log.txt").read_bytes()
    if done := _DONE.search(said_text):
        result.minutes = round(int(done[1]) / 60, 1)
    said = {key.decode(): int(value) for key, value in _STAT.findall(said_text)}
    result.executions = said.get("number_of_executed_units", 0)
    result.peak_rss_mb = said.get("peak_rss_mb", 0)
    result.corpus = sum(1 for _ in (folder / "corpus").iterdir())
    if process.returncode and not list(folder.glob("find-*")):
        result.finds.append(f"ended with {process.returncode}; see {folder}/log.txt")
    return result


def _measure(name: str, result: Result) -> None:
    """Runs the corpus once more without instruments; an input that breaks its bounds is a find. Counts the finds."""
    target, folder = TARGETS[name], FOLDER / name
    is_sound = not list(folder.glob("find-*"))
    paths = [*(folder / "corpus").iterdir(), *(folder / "seeds").iterdir(), *folder.glob("slow.bin")]
    for path in paths:
        data = path.read_bytes()
        try:
            cost = cost_of(target, data)
        except Exception:  # noqa: BLE001  # one of the finds by their places, or else a find that needs no instruments
            if is_sound:
                (folder / f"find-raised-{path.name}.bin").write_bytes(data)
            continue
        result.peak_kb = max(result.peak_kb, cost.peak_kb)
        result.cpu_ms = max(result.cpu_ms, round(1000 * cost.cpu_s, 1))
        for broken, what in ((cost.peak_kb > target.peak_kb, "memory"), (cost.cpu_s > target.cpu_s, "time")):
            if broken:
                (folder / f"find-{what}-{path.name}.bin").write_bytes(data)
    result.finds += sorted(path.stem for path in folder.glob("find-*") if path.suffix != ".txt")
    result.crashes = len(result.finds)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _write(result: Result) -> None:
    """Puts one result among those of other targets."""
    OUT.parent.mkdir(exist_ok=True)
    before = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else []
    others = [one for one in before if one["target"] != result.target]
    results = sorted([*others, asdict(result)], key=lambda one: list(TARGETS).index(one["target"]))
    OUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--hypothesis", action="store_true", help="without atheris: mutations of the seeds alone")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run this input of the one target named")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in TARGETS]:
        parser.error(f"no target {', '.join(unknown)}; there are: {', '.join(TARGETS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if chosen.again:
        if len(chosen.names) != 1:
            parser.error("name the one target that the file is of")
        print(cost_of(TARGETS[chosen.names[0]], chosen.again.read_bytes()))
        sys.exit(0)
    if not chosen.hypothesis and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed (extra `fuzz`, x86-64 Linux only); --hypothesis does without it")
    sys.exit(asyncio.run(main(chosen.names or list(TARGETS), chosen.minutes, by_mutation=chosen.hypothesis)))
