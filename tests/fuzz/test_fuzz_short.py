"""The short form of the hunt: every target for two seconds, and every input that was ever found to be wrong.

`make fuzz` is the long one. A target that fails here says which input: put it into tests/fuzz/found/TARGET.
"""

import logging
import time
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, given, settings

from tests.fuzz import documents
from tests.fuzz.mutate import inputs
from tests.fuzz.target import Target, cost_of
from tests.fuzz.targets import FOUND, TARGETS, seeds_of

EACH_S = 2.0
MOST_EXAMPLES = 400


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """What decoders say of hostile bytes is told now and then, and here all the time."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def run(target: Target, data: bytes) -> None:
    cost = cost_of(target, data)
    assert cost.peak_kb <= target.peak_kb, cost
    assert cost.cpu_s <= target.cpu_s, cost


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_finds(name: str) -> None:
    seeds = seeds_of(name)
    assert len(seeds) > 1
    for seed in seeds:
        assert len(seed) <= TARGETS[name].most_bytes
        run(TARGETS[name], seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str) -> None:
    target, seeds = TARGETS[name], seeds_of(name)
    until_s = time.monotonic() + EACH_S
    has_failed = False

    @settings(max_examples=MOST_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs(target, seeds))
    def some(data: bytes) -> None:
        nonlocal has_failed
        if time.monotonic() > until_s and not has_failed:
            return
        try:
            run(target, data)
        except Exception:
            has_failed = True
            raise

    some()


@pytest.mark.parametrize(
    ("take", "sound", "most"), [(documents.profile, documents._profiles, 2), (documents.site, documents._sites, 1)]
)
def test_whichever_part_of_a_file_is_mistaken_it_is_said(take, sound, most) -> None:
    for edited in documents.edits(sound(), most):
        take(edited)


def test_every_find_belongs_to_a_target() -> None:
    assert {path.name for path in FOUND.iterdir()} <= TARGETS.keys()


def test_what_breaks_its_bounds_is_found() -> None:
    held: list[bytes] = []
    greedy = Target(lambda data: held.append(bytes(2 << 20)), lambda: [b""], peak_kb=1024)
    slow = Target(lambda data: held.append(bytes(sum(range(10**6)) % 9)), lambda: [b""], cpu_s=0.001)
    for target in (greedy, slow):
        with pytest.raises(AssertionError):
            run(target, b"")
