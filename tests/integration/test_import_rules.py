"""The import rules of pyproject.toml bite: on a small tree of our folders good imports pass, and bad ones do not."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = [
    rule["name"] for rule in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]

GOOD = {
    "contract.block": "import msgspec, zstandard",
    "edge.outbox.writer": "import contract.block",
    "edge.http.client": "import h11",
    "edge.uplink.session": "import edge.http.client, contract.block",
    "edge.drivers.ble.driver": "import contract.block",
    "edge.drivers.modbus.driver": "import contract.block",
    "edge.main": "import edge.outbox.writer, edge.uplink.session",
    "edge.provision.scan": "import edge.drivers.modbus.driver",
    "cloud.store.pool": "import asyncpg, contract.block",
    "cloud.ingest.take": "import numpy, cloud.store.pool",
    "cloud.alarms.engine": "import cloud.store.pool",
    "cloud.console.routes": "import fastapi, cloud.alarms.engine, cloud.store.pool",
    "cloud.main": "import cloud.console.routes, cloud.ingest.take",
    "simulators.load": "import edge.uplink.session",
    "simulators.panel": "import contract.block",
}

BAD = {
    "contract stands alone, box and cloud know only it": {"edge.outbox.writer": "import cloud.store.pool"},
    "only the load generator borrows the uplink": {"simulators.panel": "import edge.uplink.session"},
    "contract needs msgspec, zstandard, PyYAML, ruamel.yaml and structlog only": {"contract.block": "import rich"},
    "the box brings none of the cloud's packages": {"edge.outbox.writer": "import numpy"},
    "the box's stages do not know each other": {"edge.uplink.session": "import edge.outbox.writer"},
    "drivers do not know each other": {"edge.drivers.modbus.driver": "import edge.drivers.ble.driver"},
    "the cloud's stages know the store only": {"cloud.ingest.take": "import cloud.alarms.engine"},
    "what shows and what takes in do not know each other": {"cloud.console.routes": "import cloud.ingest.take"},
    "SQL is in cloud/store and nowhere else": {"cloud.alarms.engine": "import asyncpg"},
}


def broken(folder: Path, modules: dict[str, str]) -> set[str]:
    """Names of the rules that a tree of these modules breaks."""
    for name, text in modules.items():
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
        for package in path.relative_to(folder).parents[:-1]:
            (folder / package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    kept = {rule for rule in RULES if f"\n{rule} KEPT" in done.stdout}
    found = {rule for rule in RULES if f"\n{rule} BROKEN" in done.stdout}
    assert kept | found == set(RULES), done.stdout + done.stderr
    return found


def test_every_rule_has_an_example() -> None:
    assert BAD.keys() == set(RULES)


def test_good_imports_pass(tmp_path: Path) -> None:
    assert broken(tmp_path, GOOD) == set()


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_import_is_found(rule: str, tmp_path: Path) -> None:
    assert rule in broken(tmp_path, GOOD | BAD[rule])


def test_a_new_folder_needs_a_place_in_the_rules(tmp_path: Path) -> None:
    assert broken(tmp_path, GOOD | {"edge.helpers": ""}) == {"the box's stages do not know each other"}


def test_contract_imports_few_packages_and_the_standard_library() -> None:
    graph = grimp.build_graph("contract", include_external_packages=True)
    roots = {name.split(".")[0] for name in graph.modules} - {"contract"} - sys.stdlib_module_names
    assert roots <= {"msgspec", "zstandard", "yaml", "ruamel", "structlog"}
