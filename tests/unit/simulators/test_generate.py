"""Estates made by the hundred: sound for the box, the same for the same wish, and alive."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import Permanent
from contract.site import Site, load_site
from simulators.cli import main
from simulators.estate import BUSES, Estate
from simulators.generate import PROTOCOLS, Wish, site_text, write_estate
from simulators.log import TruthLog
from simulators.modbus.buses import SimulatedRtuTcp, SimulatedTcp
from simulators.player import Player
from simulators.scenario import load_scenario
from tests.unit.simulators.sites import PROFILES

MODBUS = ("modbus-tcp", "modbus-rtu", "modbus-rtu-tcp")
THERE = [one for one in PROTOCOLS if one in BUSES and one.partition("-")[0] in {p.protocol for p in PROFILES.values()}]


def made(folder: Path, wish: Wish) -> Site:
    site, _ = write_estate(wish, PROFILES, folder)
    return load_site(site, PROFILES)


def test_hundreds_of_devices_over_every_protocol(tmp_path: Path) -> None:
    site = made(tmp_path, Wish(devices=500, seed=7))
    assert sum(len(bus.devices) for bus in site.buses) == 500
    by_protocol = Counter(dict.fromkeys(THERE, 0))
    for bus in site.buses:
        by_protocol[bus.protocol] += len(bus.devices)
    assert set(by_protocol) == set(THERE)
    assert all(by_protocol[one] >= 25 for one in THERE)
    kinds = {PROFILES[device.profile].kind for bus in site.buses for device in bus.devices}
    assert len(kinds) >= 12
    assert load_scenario(tmp_path / "day.yaml").scenario.living


def test_the_same_wish_gives_the_same_bytes_and_another_seed_others() -> None:
    wish = Wish(devices=300, seed=7)
    assert site_text(wish, PROFILES) == site_text(wish, dict(reversed(PROFILES.items())))
    if "ble" in THERE:
        assert (
            site_text(wish, PROFILES).split("\n", 1)[1]
            != site_text(Wish(devices=300, seed=8), PROFILES).split("\n", 1)[1]
        )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 1200), st.integers(), st.sets(st.sampled_from(THERE), min_size=1))
def test_any_wish_is_a_site_the_box_takes(tmp_path: Path, devices: int, seed: int, protocols: set[str]) -> None:
    site = made(tmp_path, Wish(devices=devices, seed=seed, protocols=sorted(protocols)))
    assert sum(len(bus.devices) for bus in site.buses) == devices
    assert {bus.protocol for bus in site.buses} <= protocols


async def test_it_lives(tmp_path: Path) -> None:
    wish = Wish(devices=200, protocols=MODBUS, ports=str(tmp_path / "ports"))
    made(tmp_path, wish)
    play = load_scenario(tmp_path / "day.yaml")
    log = TruthLog()
    estate = Estate(play.site, play.profiles, log, seed=play.scenario.seed)
    for bus in estate.buses.values():
        if isinstance(bus, SimulatedTcp):
            bus.server.port = 0
        elif isinstance(bus, SimulatedRtuTcp):
            bus.port.port = 0

    async def at_once(at_s: float) -> None:
        await asyncio.sleep(0)

    async with estate:
        assert len(list((tmp_path / "ports").glob("line-*"))) == 3
        player = Player(play, estate, print, wait=at_once)
        first = log.n
        await player.run(until_s=60)
    assert log.n - first > 500
    assert list((tmp_path / "ports").iterdir()) == []


def test_a_file_of_another_origin_is_left(tmp_path: Path) -> None:
    wish = Wish(devices=3)
    write_estate(wish, PROFILES, tmp_path)
    write_estate(wish, PROFILES, tmp_path)
    (tmp_path / "site.yaml").write_text("estate: {name: mine}\n")
    with pytest.raises(Permanent, match="in the way"):
        write_estate(wish, PROFILES, tmp_path)
    assert (tmp_path / "site.yaml").read_text() == "estate: {name: mine}\n"


@pytest.mark.parametrize(
    ("wish", "said"),
    [(Wish(devices=0), "1 to 5000"), (Wish(devices=9, protocols=["zigbee"]), "no estate of zigbee"),
     (Wish(devices=9, protocols=[]), "no estate of nothing")],
)  # fmt: skip
def test_what_cannot_be_is_said(wish: Wish, said: str) -> None:
    with pytest.raises(Permanent, match=said):
        site_text(wish, PROFILES)


def test_names_may_be_anything(tmp_path: Path) -> None:
    name = '西苑: {小区} "二期" #1'
    assert made(tmp_path, Wish(devices=5, name=name, ports="/tmp/a: b")).estate.name == name


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["estate", "--devices", "40", "--seed", "7", str(tmp_path / "out")])
    assert left.value.code == 0
    assert "anju-sim run" in capsys.readouterr().out
    assert (
        len([device for bus in load_site(tmp_path / "out" / "site.yaml", PROFILES).buses for device in bus.devices])
        == 40
    )
    with pytest.raises(SystemExit) as left:
        main(["estate", "--protocols", "zigbee", str(tmp_path / "out")])
    assert left.value.code == 1
    assert "no estate of zigbee" in capsys.readouterr().err
