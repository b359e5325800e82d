"""What the measured box polls: units of 40 numbers behind one endpoint, as meters with four channels of ten points."""

from pathlib import Path

from contract.kinds import KINDS, PointType

CHANNELS = 4
POINTS = 10
PER_UNIT = CHANNELS * POINTS
KIND = "electricity_meter"


def write_profile(folder: Path, *, always: bool = True) -> None:
    """The profile of the measured unit, into `profiles` of a folder: one read of 40 registers gives 40 points."""
    names = [name for name, point in KINDS[KIND].points.items() if point.type is PointType.TELEMETRY][:POINTS]
    lines = [
        "id: bench-meter",
        "protocol: modbus",
        "vendor: Anju",
        "model: Benchmark",
        f"kind: {KIND}",
        "source: Made for the benchmarks; no such device is sold.",
        f"modbus: {{channels: {CHANNELS}}}",
        "points:",
    ]
    for at, name in enumerate(names):
        lines += [
            f"  {name}:",
            f"    read: {{table: holding_register, address: {at}, stride: {POINTS}, type: uint16}}",
            "    scale: 0.1",
            f"    report: {{heartbeat_s: 30, always: {str(always).lower()}}}",
        ]
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / "bench-meter.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_site(
    folder: Path, cloud_url: str, port: int, *, units: int, endpoints: int = 1, poll_s: float = 1.0,
    channels: int = CHANNELS, always: bool = True,
) -> Path:  # fmt: skip
    """A site file of `units` units over `endpoints` addresses of this machine, and its profile beside it.

    Each channel of a unit is a device. Without `always` a number is reported when it changes, or each half minute.
    """
    write_profile(folder, always=always)
    lines = ["estate: {name: 测速小区}", f'cloud: {{url: "{cloud_url}"}}', "buses:"]
    for endpoint in range(endpoints):
        lines += [
            f"  - id: bus-{endpoint}",
            "    protocol: modbus-tcp",
            f"    host: 127.0.0.{endpoint + 1}",
            f"    port: {port}",
            f"    poll_s: {poll_s}",
            "    devices:",
        ]
        lines += [
            f"      - {{id: meter-{unit}-{channel}, name: 电表{unit}-{channel}, profile: bench-meter,"
            f" unit: {unit}, channel: {channel}}}"
            for unit in range(1 + endpoint, units + 1, endpoints)
            for channel in range(channels)
        ]
    path = folder / "site.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
