"""The compose file keeps its promises: nothing open that need not be, nothing secret in clear, nothing missing."""

import http.server
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy/compose"


@pytest.fixture(scope="module")
def compose() -> dict:
    return YAML(typ="safe").load((COMPOSE / "compose.yaml").read_text())


def test_only_the_proxy_is_reachable_and_the_broker_if_asked(compose: dict) -> None:
    published = {name for name, service in compose["services"].items() if "ports" in service}
    always = {name for name in published if "profiles" not in compose["services"][name]}
    assert (always, published) == ({"caddy"}, {"caddy", "haproxy", "mosquitto"})
    assert compose["services"]["haproxy"]["ports"] == ["8443:8443"]
    assert compose["services"]["mosquitto"]["ports"] == ["8883:8883"]
    # The database shares a network with the cloud alone, and that network has no way out.
    assert compose["services"]["db"]["networks"] == ["back"]
    assert compose["networks"]["back"]["internal"] is True
    assert [name for name, service in compose["services"].items() if "back" in service["networks"]] == ["db", "cloud"]


def test_every_service_is_confined_and_bounded(compose: dict) -> None:
    for name, service in compose["services"].items():
        assert re.search(r":[\w.$\{\}:-]*\d+\.\d+", service["image"]), f"{name}: the image needs an exact version"
        assert "latest" not in service["image"], name
        assert service["restart"] == "unless-stopped", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert {"mem_limit", "pids_limit", "healthcheck"} <= service.keys(), name
        assert name == "db" or service["read_only"] is True, name
    assert compose["services"]["cloud"]["user"] == "10001:10001"


def test_the_cloud_believes_the_proxies_and_no_other(compose: dict) -> None:
    services = compose["services"]
    addresses = [services[name]["networks"]["front"]["ipv4_address"] for name in ("caddy", "haproxy")]
    assert services["cloud"]["environment"]["ANJU_TRUSTED_PROXY"].split(",") == addresses
    for address in addresses:
        assert address.rpartition(".")[0] in compose["networks"]["front"]["ipam"]["config"][0]["subnet"]


def test_secrets_are_files_and_stand_nowhere_in_clear(compose: dict) -> None:
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    for name, service in compose["services"].items():
        assert set(service.get("secrets", [])) <= compose["secrets"].keys(), name
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", key):
                assert key.endswith("_FILE"), f"{name}: {key}"
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{name}: a password stands in {key}"
    assert not re.search("PASSWORD|SECRET|TOKEN|KEY", re.sub("(?m)^#.*", "", (COMPOSE / ".env.example").read_text()))
    ignored = (COMPOSE / ".gitignore").read_text().split()
    assert {".env", "secrets/", "certs/"} <= set(ignored)


def test_what_the_files_refer_to_exists(compose: dict) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source == "./certs" or (COMPOSE / source).is_file(), volume
    build = compose["services"]["cloud"]["build"]
    context = (COMPOSE / build["context"]).resolve()
    assert context == ROOT
    dockerfile = (context / build["dockerfile"]).read_text()
    ignore = (context / f"{build['dockerfile']}.dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), f"the Dockerfile copies {source}"
            assert any(source == kept[1:] or source.startswith(f"{kept[1:]}/") for kept in ignore if kept[:1] == "!")
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    asked = set(re.findall(r"\$\{(\w+)", (COMPOSE / "compose.yaml").read_text())) - {"ANJU_VERSION"}
    offered = set(re.findall(r"(?m)^(\w+)=", (COMPOSE / ".env.example").read_text()))
    assert asked == offered


def test_init_makes_the_secrets_once(tmp_path: Path) -> None:
    for name in ("init.sh", ".env.example"):
        shutil.copy(COMPOSE / name, tmp_path)
    subprocess.run(["sh", tmp_path / "init.sh"], check=True, capture_output=True)
    secret = tmp_path / "secrets/db_password"
    first = secret.read_text()
    assert re.fullmatch(r"[A-Za-z0-9]{40}", first)
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    subprocess.run(["sh", tmp_path / "init.sh"], check=True, capture_output=True)
    assert secret.read_text() == first


def test_the_entrypoint_hands_the_password_to_the_cloud(tmp_path: Path) -> None:
    fake = tmp_path / "anju-cloud"
    fake.write_text('#!/bin/sh\necho "$PGPASSWORD $*"\n')
    fake.chmod(0o755)
    (tmp_path / "secret").write_text("geheim")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "DB_PASSWORD_FILE": str(tmp_path / "secret")}
    said = subprocess.run(
        ["sh", COMPOSE / "entrypoint.sh", "migrate", "now"], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == "geheim migrate now\n"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_of_the_container(status: int, code: int) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        done = subprocess.run(
            [sys.executable, COMPOSE / "healthcheck.py"],
            env={"ANJU_LISTEN": f"0.0.0.0:{server.server_port}"}, capture_output=True, check=False,
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == code
