"""The box's process keeps nothing in memory that only the command line, a scrape or another box's devices need."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import runpy, sys
sys.argv = ["edge", *sys.argv[1:]]
try:
    runpy.run_module("edge", run_name="__main__")
except SystemExit as ended:
    print(ended.code, *sorted({name.split(".")[0] for name, module in sys.modules.items() if module}))
"""
NEVER = {"typer", "rich", "pygments", "greenlet", "prometheus_client", "ruamel", "argcomplete", "pytest"} | {
    "aiohttp",
    "yarl",
    "multidict",
    "email",
    "http",
}
ONLY_FOR_SOME = {"serial", "bleak", "bthome_ble", "dbus_fast", "habluetooth", "aiomqtt", "paho"}


def test_a_box_loads_no_command_line_and_no_driver_before_it_makes_one(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        'estate: {name: a}\ncloud: {url: "http://127.0.0.1:1"}\n'
        "buses: [{id: panel, protocol: modbus-tcp, host: 127.0.0.1, devices: []}]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(site), str(tmp_path), "127.0.0.1:0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, *loaded = done.stdout.split()
    assert code == "2", done.stderr
    assert "not enrolled" in done.stderr
    assert {"edge", "h11", "structlog"} <= set(loaded)
    assert not (NEVER | ONLY_FOR_SOME) & set(loaded)


def test_the_command_line_imports_little_before_it_knows_what_is_asked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, edge.cli; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert "typer" in done.stdout.split()
    assert not {"structlog", "msgspec", "yaml", "h11", "asyncio", "edge.main"} & set(done.stdout.split())


def test_a_module_in_the_folder_where_somebody_starts_it_is_not_the_box(tmp_path: Path) -> None:
    for name in ("yaml.py", "edge.py"):
        (tmp_path / name).write_text("raise SystemExit('this is not ours')\n")
    command = [Path(sys.executable).with_name("anju"), "run", "--site", "none.yaml", "--state", "."]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.yaml: cannot be read" in done.stderr
