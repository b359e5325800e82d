"""`anju`: what an installer and systemd say to the box."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from contract.ending import errors_as_sentences
from contract.errors import AnjuError

app = typer.Typer(
    help="Anju's edge agent: reads devices, keeps everything on disk, forwards it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
profile_app = typer.Typer(help="Device profiles: which models are known.", no_args_is_help=True)
app.add_typer(profile_app, name="profile")
mqtt_app = typer.Typer(help="Devices at an MQTT broker.", no_args_is_help=True)
app.add_typer(mqtt_app, name="mqtt")
key_app = typer.Typer(help="The estate's key: makes tokens of cards and plates.", no_args_is_help=True)
app.add_typer(key_app, name="estate-key")

SiteOption = Annotated[Path, typer.Option("--site", envvar="ANJU_SITE", help="The site file: what is connected.")]
StateOption = Annotated[Path, typer.Option("--state", envvar="ANJU_STATE", help="Folder where the box keeps all.")]

PYTHON = ("-P", "-OO", "-X", "no_debug_ranges")
"""No packages from the folder one stands in; and nothing for readers of the code in memory: its texts, which are 2 MB,
and which columns of a line an error's trace is about."""
SMALL_HEAP = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""What sealing a block takes goes back to the system when it is done: 2.5 MB. Source: mallopt(3)."""


@app.command()
def run(
    site: SiteOption,
    state: StateOption,
    health_listen: Annotated[
        str, typer.Option(envvar="ANJU_HEALTH_LISTEN", help="host:port of the health page and metrics.")
    ] = "127.0.0.1:8081",
) -> None:
    """Run the box until SIGTERM or Ctrl-C."""
    become = [sys.executable, *PYTHON, "-m", "edge", str(site), str(state), health_listen]
    os.execve(sys.executable, become, {**SMALL_HEAP, **os.environ})  # noqa: S606  # the same process, as systemd wants


@app.command()
def enrol(
    claim: Annotated[str, typer.Option(envvar="ANJU_CLAIM", help="The one-time claim code (`anju-cloud claim`).")],
    state: StateOption,
    cloud: Annotated[str, typer.Option(envvar="ANJU_CLOUD", help="The cloud's address, https://…")] = "",
    ca: Annotated[Path | None, typer.Option(envvar="ANJU_CA", help="PEM file of an own certificate authority.")] = None,
    site: Annotated[
        Path | None,
        typer.Option(envvar="ANJU_SITE", help="Take the cloud's address, its authority and the proxy from this file."),
    ] = None,
) -> None:
    """Make this box known to a cloud, once in its life. Say --cloud, or --site with the file that names it."""
    import asyncio

    from contract.version import VERSION
    from edge.provision.enrol import enrol as enrol_box
    from edge.settings import ca_path, load_config, proxy_of, warning_in_clear

    proxy = None
    if site is not None:
        config, _ = load_config(site)
        cloud, ca, proxy = cloud or config.cloud.url, ca or ca_path(config.cloud, site), proxy_of(config.cloud)
    if not cloud:
        raise AnjuError("which cloud? Say --cloud https://…, or --site FILE with the file that names it.")
    if in_clear := warning_in_clear(cloud):
        print(f"warning: {in_clear}", file=sys.stderr)
    enrolment = asyncio.run(enrol_box(cloud, claim, state, version=VERSION, ca=ca, proxy=proxy))
    print(f"enrolled: this box is gateway {enrolment.gateway} at {enrolment.cloud}")


@app.command()
def status(
    listen: Annotated[
        str, typer.Option(envvar="ANJU_HEALTH_LISTEN", help="host:port of the box's health page.")
    ] = "127.0.0.1:8081",
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the box says, for programs.")] = False,
) -> None:
    """Show how the box is, live, until Ctrl-C."""
    from rich.console import Console

    from edge.provision.status import Words, fetch_status, render_status, watch_status

    console = Console()
    if as_json:
        print(fetch_status(listen)[0].decode())
    elif once or not console.is_terminal:
        console.print(render_status(fetch_status(listen)[1], Words()))
    else:
        with suppress(KeyboardInterrupt):
            watch_status(listen, console, Words())


@key_app.command("show")
def show_estate_key(state: StateOption) -> None:
    """Print the key, for the manager to keep and for the other boxes of the estate."""
    from edge.kept import estate_key, show_key

    print(show_key(estate_key(state)))


@key_app.command("take")
def take_estate_key(state: StateOption) -> None:
    """Take the key of the estate's other boxes; it is asked for, so that it stands in no history."""
    from edge.kept import put_estate_key

    put_estate_key(state, typer.prompt("key", hide_input=True))
    print("taken; restart the box (systemctl restart anju-edge)")


@app.command()
def check(
    site: SiteOption,
    *,
    is_json: Annotated[bool, typer.Option("--json", help="For a program; mistakes too.")] = False,
) -> None:
    """Say every mistake in a site file; without any, what it connects, what its rules do, and what is missing."""
    from contract.ending import EXIT_MISTAKE
    from contract.errors import ConfigError
    from edge.provision.profiles import table_width
    from edge.provision.site_page import as_json, mistakes_as_json, page, summary_of

    try:
        summary = summary_of(site)
    except ConfigError as e:
        if not is_json:
            raise
        print(mistakes_as_json(site, e))
        raise typer.Exit(EXIT_MISTAKE) from None
    print(as_json(summary) if is_json else "\n".join(page(summary, min(table_width(), 80))))


ProfilesBeside = Annotated[Path | None, typer.Option("--site", envvar="ANJU_SITE", help="Also those beside this file.")]
KindOption = Annotated[str, typer.Option(help="smoke_detector, door, … (as `anju profile list` says them)")]
ProtocolOption = Annotated[str, typer.Option(help="modbus, ble or mqtt.")]


@profile_app.command("list")
def list_profiles(
    site: ProfilesBeside = None,
    kind: KindOption = "",
    protocol: ProtocolOption = "",
    is_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """List the models that a site file can name, under their kinds."""
    from edge.provision.profiles import as_json, as_table, chosen, known_profiles, table_width

    found = chosen(known_profiles(site), kind, protocol)
    if is_json:
        print(as_json(found))
        return
    if not found:
        print("No model is known of that sort; `anju profile list` shows all, `anju profile new` begins one.")
        return
    print("\n".join(as_table(found, table_width())))
    count = f"{len(found)} model{'s' if len(found) != 1 else ''}"
    print(f"\n{count}. `anju profile show ID` says how one is wired and put into a site file.")


@profile_app.command("show")
def show_profile(name: Annotated[str, typer.Argument(metavar="ID")], site: ProfilesBeside = None) -> None:
    """Show a model: its points and registers, its wiring, its source, and how it is put into a site file."""
    from edge.provision.profile_page import page
    from edge.provision.profiles import find, known_profiles, table_width

    print("\n".join(page(find(known_profiles(site), name), min(table_width(), 100))))


@profile_app.command("check")
def check_profiles(files: Annotated[list[Path], typer.Argument(metavar="FILE…")]) -> None:
    """Say every mistake in files of models (or folders of them), each with its line."""
    from edge.provision.profiles import check_files

    print("\n".join(check_files(files)))


@profile_app.command("new")
def new_profile(
    name: Annotated[str, typer.Argument(metavar="ID")],
    protocol: ProtocolOption,
    kind: KindOption,
    site: ProfilesBeside = None,
) -> None:
    """Write a file to begin a model with, into profiles/ beside the site file, or here."""
    from edge.provision.profiles import create

    path = create(protocol, kind, name, site)
    print(f"{path} is written. Fill it in; what is wrong with it then, says:\n  anju profile check {path}")


@mqtt_app.command("discover")
def discover_mqtt(
    site: SiteOption,
    bus: Annotated[str, typer.Option(help="Only this bus of the site file.")] = "",
    seconds: Annotated[float, typer.Option(min=1, max=120, help="How long to listen.")] = 5.0,
) -> None:
    """Propose devices that announce themselves (Home Assistant's MQTT discovery). Changes and publishes nothing."""
    import asyncio

    from contract.profile import MqttProfile
    from contract.site import MqttBus
    from edge.drivers.mqtt.discovery import text_of
    from edge.drivers.mqtt.scan import discover
    from edge.settings import load_config

    config, profiles = load_config(site)
    models = {name: profile for name, profile in profiles.items() if isinstance(profile, MqttProfile)}
    buses = [item for item in config.buses if isinstance(item, MqttBus) and bus in {"", item.id}]
    if not buses:
        raise AnjuError(f"the site file has no mqtt bus{f' {bus!r}' if bus else ''}; one begins with protocol: mqtt")
    for item in buses:
        print(f"{item.id} ({item.endpoint}), listening for {seconds:g} s …")
        print(text_of(asyncio.run(discover(item, models, seconds=seconds))))


def main() -> None:
    """Entry point. What a person can mend is printed as it is; see contract/ending.py for the exit codes."""
    with errors_as_sentences():
        app()
