"""The rival: thingsboard-gateway from the package index in an environment of its own, set up as fast as it goes.

One read a unit (its "wide range" addresses), no report-on-change, no rate limits, no statistics, no remote
configuration, memory storage (its default), large messages. What it publishes is counted at the broker.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import msgspec

from tests.bench.estates import PER_UNIT
from tests.bench.processes import BUILT, broker, ended

VERSION = "3.8.5"
_NEEDS = (f"thingsboard-gateway=={VERSION}", "pymodbus==3.9.2", "pyserial", "pyserial-asyncio")
"""It would install the last three by itself at its first start."""
RIVAL = f"thingsboard-gateway {VERSION}"
_HOME = BUILT / "thingsboard"
_ASKS, _ANSWERS = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
_NO_LIMITS = {
    "maxPayloadSize": 65536, "maxInflightMessages": 1000, "rateLimits": {}, "gatewayRateLimits": {},
}  # fmt: skip
_ACL = f"topic readwrite #\nuser bench\ntopic write #\ntopic read {_ANSWERS}+\ntopic read v1/gateway/#\n"
"""Without it the gateway would hear its own question and answer it."""
_MAIN = "from thingsboard_gateway.tb_gateway import main; main()"


async def install() -> Path:
    """The Python of its environment, made where it is not there yet (a minute)."""
    python, done = _HOME / "bin" / "python", _HOME / f".{VERSION}"
    if not done.exists():
        print(f"installing {RIVAL} into {_HOME}")
        await _call(sys.executable, "-m", "venv", "--clear", str(_HOME))
        await _call(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_NEEDS)
        done.touch()
    return python


async def _call(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{command[0]} failed ({process.returncode})")


def write_settings(
    folder: Path, broker_port: int, modbus_port: int, *, units: int, endpoints: int, poll_s: float, is_on_change: bool
) -> Path:
    """Its configuration folder."""
    config = folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    gateway = {
        "thingsboard": {
            "host": "127.0.0.1", "port": broker_port, "remoteShell": False, "remoteConfiguration": False,
            "latencyDebugMode": False, "statistics": {"enable": False, "enableCustom": False},
            "deviceFiltering": {"enable": False}, "maxPayloadSizeBytes": 65536, "minPackSendDelayMS": 50,
            "minPackSizeToSend": 8192, "checkConnectorsConfigurationInSeconds": 3600, "handleDeviceRenaming": False,
            "security": {"type": "accessToken", "accessToken": "bench"}, "qos": 1,
            "reportStrategy": {"type": "ON_CHANGE" if is_on_change else "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            **dict.fromkeys(
                ("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits",
                 "deviceDpRateLimits"), "0:0,",
            ),
        },
        "storage": {"type": "memory", "read_records_count": 1000, "max_records_count": 100000},
        "grpc": {"enabled": False},
        "connectors": [{"type": "modbus", "name": "bench", "configuration": "modbus.json"}],
    }  # fmt: skip
    wide = [
        {"tag": "p_${address}", "type": "16uint", "functionCode": 3, "objectsCount": 1, "address": f"0-{PER_UNIT - 1}",
         "maxRegistersPerRequest": PER_UNIT}
    ]  # fmt: skip
    slaves = [
        {
            "host": f"127.0.0.{(unit - 1) % endpoints + 1}", "port": modbus_port, "type": "tcp", "method": "socket",
            "unitId": unit, "deviceName": f"meter-{unit}", "deviceType": "default", "timeout": 5, "byteOrder": "BIG",
            "wordOrder": "BIG", "retries": 0, "pollPeriod": round(poll_s * 1000), "connectAttemptTimeMs": 500,
            "connectAttemptCount": 5, "waitAfterFailedAttemptsMs": 30000, "attributes": [],
            "timeseries": wide, "attributeUpdates": [], "rpc": [],
        }
        for unit in range(1, units + 1)
    ]  # fmt: skip
    (config / "tb_gateway.json").write_text(json.dumps(gateway))
    (config / "modbus.json").write_text(
        json.dumps({"name": "bench", "logLevel": "ERROR", "master": {"slaves": slaves}})
    )
    logs = {
        "version": 1, "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler", "level": "WARNING"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
        "loggers": {"pymodbus": {"level": "CRITICAL"}},  # it warns of its own age at each value, which costs much
    }  # fmt: skip
    (config / "logs.json").write_text(json.dumps(logs))
    return config


class Gateway:
    """A running gateway and what of it has arrived at the broker."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, began: float) -> None:
        self.process, self.log, self.began = process, log, began
        self.values = 0
        self.first = asyncio.Event()

    @property
    def pid(self) -> int:
        """Of the gateway alone."""
        return self.process.pid

    def arrived(self) -> int:
        """Values that the broker has handed to a subscriber."""
        return self.values

    def check(self) -> None:
        """Raises RuntimeError where it ended by itself."""
        if self.process.returncode is not None:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{RIVAL} ended by itself ({self.process.returncode}):\n{said}")

    async def serve(self, client: aiomqtt.Client) -> None:
        """Counts for ever; tells it once, as its platform does, that there are no limits (it sends nothing before)."""
        async for message in client.messages:
            asked = str(message.topic).partition(_ASKS)
            if asked[1]:
                await client.publish(_ANSWERS + asked[2], json.dumps(_NO_LIMITS), qos=1)
                continue
            for entries in msgspec.json.decode(message.payload).values():
                self.values += sum(len(entry["values"]) for entry in entries)
            self.first.set()


@asynccontextmanager
async def running_thingsboard(
    folder: Path, modbus_port: int, *, units: int, endpoints: int = 1, poll_s: float = 1.0, is_on_change: bool = False
) -> AsyncIterator[Gateway]:
    """The gateway polling a Modbus server, delivering to a broker of its own."""
    python = await install()
    folder.mkdir(parents=True, exist_ok=True)
    async with (
        broker(folder, _ACL) as port,
        aiomqtt.Client("127.0.0.1", port, max_queued_incoming_messages=100_000) as client,
    ):
        await client.subscribe("v1/gateway/telemetry", qos=1)
        await client.subscribe(f"{_ASKS}+", qos=1)
        config = write_settings(
            folder, port, modbus_port, units=units, endpoints=endpoints, poll_s=poll_s, is_on_change=is_on_change
        )
        log = folder / "thingsboard.log"
        with log.open("ab") as out:
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                str(python), "-c", _MAIN, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": "/usr/bin:/bin", "TB_GW_CONFIG_DIR": str(config), "HOME": str(folder)},
            )  # fmt: skip
        gateway = Gateway(process, log, began)
        counting = asyncio.create_task(gateway.serve(client))
        try:
            yield gateway
        finally:
            counting.cancel()
            await asyncio.wait([counting])
            await ended(process)
