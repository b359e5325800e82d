"""Files that people write: YAML, profiles and site files. Whatever is accepted can be worked with."""

import atexit
import copy
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

from yaml import safe_load

from cloud.ingest.checks import problem_of
from contract.config import load_file
from contract.document import MAX_DEPTH, Map, Seq, read_document
from contract.errors import ConfigError
from contract.modbus_plan import plan_unit
from contract.profile import AnyProfile, BleProfile, ModbusProfile, MqttProfile, check_profile, shipped_profiles
from contract.site import (
    BleBus,
    BleDevice,
    ModbusDevice,
    ModbusTcpBus,
    MqttBus,
    MqttDevice,
    Resolved,
    ResolvedDevice,
    inventory_of,
    load_site,
    resolve,
)
from edge.drivers.ble.config import DEFAULT_TIMING
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.sensor import Sensor
from edge.drivers.modbus.decode import decoder_of
from edge.drivers.mqtt.plan import Plan
from edge.http.address import Address, NotAnAddressError
from tests.fuzz.onward import normaliser_of
from tests.fuzz.target import SCRATCH
from tests.support.modbus import PROFILES

ROOT = Path(__file__).resolve().parents[2]
WORDS = (
    b": ", b"- ", b"&a ", b"*a", b"<<: *a", b"!!int ", b"? ", b"|\n", b">-\n", b"---\n", b"...\n", b"{", b"[", b"'",
    b'"', b"%YAML 1.1\n", b"\t", b"0x", b"1_0", b"2026-13-45", b".inf", b".nan", b"null", b"true", b"\xc2\x85", b"#",
)  # fmt: skip
_MOST_SEED = 4000


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="anju-fuzz-", dir=SCRATCH))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _written(data: bytes) -> Path:
    path = _folder() / "file.yaml"
    path.write_bytes(data)
    return path


EDITED = b"\xff"
"""No text begins so: what follows is a sound document by its number, and then edits of three bytes each."""
REPLACEMENTS: tuple[Any, ...] = (
    None, [], {}, "", "x", 0, -1, 1.5, True, [None], {"x": None}, [[]], 1 << 70, float("inf"), "0x1", [{}], "{address}",
)  # fmt: skip
_EDIT_BYTES = 3
MOST_PLACES = 2000


def _text_of(data: bytes, sound: list[Any]) -> bytes:
    """The text that an input stands for: itself, or a sound document with parts of it replaced, moved or left out."""
    if not data.startswith(EDITED) or len(data) < 2:
        return data
    document = copy.deepcopy(sound[data[1] % len(sound)])
    for at in range(2, len(data) - _EDIT_BYTES + 1, _EDIT_BYTES):
        places = list(_places(document))
        if not 0 < len(places) < MOST_PLACES:  # copies of copies double a document with every edit
            break
        node, key = places[int.from_bytes(data[at : at + 2]) % len(places)]
        what = data[at + 2]
        if what < len(REPLACEMENTS):
            node[key] = copy.deepcopy(REPLACEMENTS[what])
        elif what < 2 * len(REPLACEMENTS):
            del node[key]
        else:
            other, other_key = places[what % len(places)]
            node[key] = copy.deepcopy(other[other_key])
    return json.dumps(document, ensure_ascii=False).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a document: what it stands in, and under which key."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])


def _is_said(error: ConfigError) -> None:
    """A refusal names at least one mistake, each with a line and in printable words of bearable length."""
    assert error.mistakes
    for mistake in error.mistakes:
        assert mistake.problem
        assert mistake.line >= 0
        str(mistake).encode()


def yaml(data: bytes) -> None:
    """Any bytes as a YAML file: a document of our own containers, no deeper than allowed, or ConfigError."""
    try:
        document = read_document(_written(data))
    except ConfigError as e:
        _is_said(e)
        return
    _check(document.root, 0, set())
    document.line_of(("buses", 0, "devices", 1))


def _check(node: Any, depth: int, seen: set[int]) -> None:
    assert depth <= MAX_DEPTH + 1
    if id(node) in seen or not isinstance(node, Map | Seq):
        return
    seen.add(id(node))
    for child in node.values() if isinstance(node, Map) else node:
        _check(child, depth + 1, seen)


def profile(data: bytes) -> None:
    """Any bytes as a profile: ConfigError, or one by which a driver can be made."""
    try:
        loaded = load_file(_written(_text_of(data, _profiles())), AnyProfile, check=check_profile)
    except ConfigError as e:
        _is_said(e)
        return
    _use(loaded.value)


def _use(model: AnyProfile) -> None:
    """Makes what a driver makes of a model that was accepted."""
    if isinstance(model, ModbusProfile):
        device = ModbusDevice(id="d", name="d", profile=model.id, unit=1, channel=model.modbus.channels - 1)
        bus: Any = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[device])
        for read in plan_unit(1, model, [("d", 0), ("d", device.channel)], model.modbus):
            decoder_of(read)
        resolved: Any = Resolved(device, bus, model)
    elif isinstance(model, BleProfile):
        sensor = BleDevice(id="d", name="d", profile=model.id, address="A4:C1:38:00:00:01")
        resolved = Resolved(sensor, BleBus(id="bus", protocol="ble", devices=[sensor]), model)
        Sensor(resolved, None, Counters(None), DEFAULT_TIMING, 0)
    else:
        assert isinstance(model, MqttProfile)
        client = MqttDevice(id="d", name="d", profile=model.id, address="a")
        resolved = Resolved(client, MqttBus(id="bus", protocol="mqtt", devices=[client]), model)
        Plan([resolved], "box")
    normaliser_of([cast("ResolvedDevice", resolved)])
    for name in model.points:
        model.stale_after_s(name)


def site(data: bytes) -> None:
    """Any bytes as a site file: ConfigError, or one of which the box can tell the cloud."""
    try:
        loaded = load_site(_written(_text_of(data, _sites())), PROFILES)
    except ConfigError as e:
        _is_said(e)
        return
    with suppress(NotAnAddressError):
        assert Address.parse(loaded.cloud.url).authority
    devices = resolve(loaded, PROFILES)
    assert all(device.silent_after_s > 0 for device in devices)
    inventory = inventory_of(loaded, PROFILES)
    assert inventory.inventory_id >= 0
    assert problem_of(inventory) is None, problem_of(inventory)


@cache
def _profiles() -> list[Any]:
    return [safe_load(path.read_bytes()) for path in sorted(shipped_profiles().rglob("*.yaml"))]


@cache
def _sites() -> list[Any]:
    paths = [*ROOT.glob("edge/drivers/*/sample.yaml"), *ROOT.glob("tests/cases/site/good*/site.yaml"),
             ROOT / "simulators/scenarios/site.yaml"]  # fmt: skip
    return [safe_load(path.read_bytes()) for path in sorted(paths)]


def edits(sound: list[Any], most: int = len(REPLACEMENTS) + 1) -> Iterator[bytes]:
    """Each sound document with each of its parts replaced by each of the first replacements, or left out."""
    for number, document in enumerate(sound):
        for place in range(sum(1 for _ in _places(document))):
            for what in range(most):
                yield EDITED + bytes((number,)) + place.to_bytes(2) + bytes((what,))


def profile_seeds() -> list[bytes]:
    """The smaller of the shipped profiles."""
    texts = [path.read_bytes() for path in sorted(shipped_profiles().rglob("*.yaml"))]
    return [text for text in texts if len(text) <= _MOST_SEED] + list(edits(_profiles()))[::997]


def site_seeds() -> list[bytes]:
    """The drivers' samples and the cases of mistakes."""
    return _site_texts() + list(edits(_sites()))[::997]


def _site_texts() -> list[bytes]:
    paths = [*ROOT.glob("edge/drivers/*/sample.yaml"), *ROOT.glob("tests/cases/site/*/site.yaml")]
    return [text for path in sorted(paths) if len(text := path.read_bytes()) <= _MOST_SEED]


def yaml_seeds() -> list[bytes]:
    """Site files, and what else YAML knows."""
    odd = [b"&a [*a]", b"a: &x {b: 1}\nc:\n  <<: *x\n  d: 0x1F", b"? [1, 2]\n: 3", b"a: |\n  text\n# no\n",
           b"%YAML 1.1\n---\na: on", b"a: 2026-01-01\nb: 1_000\nc: .inf", b"[" * 60, b"!!binary aGk=", b"{a: 1, a: 2}",
           b"a: *b", b"\xef\xbb\xbfa: 1", b"!!python/object:os.system x", b"a: [&b x, *b]", b"--- 1\n..."]  # fmt: skip
    bomb = b"a: &a [x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("j"))
    )
    return [*odd, bomb, *_site_texts()]
