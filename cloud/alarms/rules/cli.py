"""`anju-cloud rule`: see, check, try and change alarm rules."""

import re
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer

from cloud.settings import read_settings
from contract.errors import AnjuError
from contract.service import configure_logging

if TYPE_CHECKING:
    from cloud.alarms.rules.model import Rule
    from cloud.alarms.rules.trial import Would
    from cloud.store import Connection
    from cloud.store.rules import RuleVersion
    from cloud.store.trials import TrialEstate

app = typer.Typer(no_args_is_help=True, help="Alarm rules: what raises an alarm, and what people are told.")
T = TypeVar("T")
Why = Annotated[str, typer.Option(prompt=True, help="Why: it stays in the rule's history and in the audit log.")]
BY = "anju-cloud"
_AGO = re.compile(r"(\d{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MOST_AGO = timedelta(days=400)


def _with_database(work: "Callable[[Connection], Coroutine[Any, Any, T]]", *, changes: bool = False) -> T:
    async def run() -> T:
        from cloud.store import Database, rules

        async with Database.open(read_settings().database_url, 1) as database:
            if not changes:
                async with database.connect() as connection:
                    return await work(connection)
            async with database.transaction() as connection:
                done = await work(connection)
            await database.wake({rules.TOPIC})
            return done

    import uvloop

    configure_logging()
    return uvloop.run(run())


@app.command("list")
def list_rules() -> None:
    """Show the rules: name, where each comes from, how bad it is at worst, what it finds."""
    from cloud.alarms.rules.stored import checked
    from cloud.store import rules

    rows = _with_database(rules.newest)
    if not rows:
        typer.echo("There are no rules in the database yet: the service puts them there when it starts.", err=True)
    for row in rows:
        try:
            rule = checked(row.last_body or {})
            says = "\t".join((_worst(rule), rule.form.form, rule.text.en.title, rule.text.zh.title))
        except AnjuError as e:
            says = f"cannot be used: {e}"
        typer.echo(f"{row.name}\t{_origin(row)}\t{says}")


@app.command("show")
def show_rule(name: str) -> None:
    """Print a rule as its file would be, and say who changed it when and why."""
    from cloud.alarms.rules.stored import checked
    from cloud.alarms.rules.write import file_text
    from cloud.store import rules

    versions = _with_database(lambda connection: rules.versions(connection, name))
    if not versions:
        raise AnjuError(f"there is no rule {name!r}; anju-cloud rule list shows them")
    body = next((row.body for row in versions if row.body is not None), {})
    for row in versions:
        typer.echo(f"# {_origin(row)}, {row.at:%Y-%m-%d %H:%M} UTC, {row.who}" + (f": {row.why}" if row.why else ""))
    typer.echo(file_text(checked(body)), nl=False)


@app.command("check")
def check_rules(files: list[Path]) -> None:
    """Look at rules in files, without a database; every mistake with its line."""
    from cloud.alarms.rules.load import load_rule
    from contract.errors import ConfigError

    mistakes = []
    for path in files:
        try:
            load_rule(path)
        except ConfigError as e:
            mistakes += e.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    typer.echo(f"{len(files)} in order.")


@app.command("try")
def try_rule(
    file: Path,
    estate: Annotated[str, typer.Option(help="Name of the estate.")],
    since: Annotated[str, typer.Option(help="How far back: 30d, 12h, 45m, or a date as 2026-11-01.")] = "7d",
) -> None:
    """Say which alarms a rule would have raised in the past; nothing is changed and nobody is told."""
    from cloud.alarms.rules.load import load_rule

    rule, end = load_rule(file), datetime.now(UTC)

    async def work(connection: "Connection") -> "tuple[TrialEstate, datetime, list[Would]]":
        from cloud.alarms.rules import trial
        from cloud.alarms.rules.load import pack
        from cloud.store import trials

        found = await trials.estate(connection, estate)
        if found is None:
            raise AnjuError(f"there is no estate {estate!r}")
        zone = ZoneInfo(found.zone)
        start = _start(since, end, zone)
        tried = trial.try_rule(connection, rule, found, zone, pack().calendar, start, end)
        return found, start, [would async for would in tried]

    at, start, found = _with_database(work)
    for line in _lines(found, ZoneInfo(at.zone), end):
        typer.echo(line)
    typer.echo(_summary(found, end - start))


@app.command("set")
def set_rule(file: Path, why: Why) -> None:
    """Put a rule in force, or a new version of one; from now on it no longer follows the pack."""
    from cloud.alarms.rules.load import load_rule
    from cloud.alarms.rules.model import body_of
    from cloud.store import rules

    rule = load_rule(file)
    version = _with_database(lambda connection: rules.put(connection, rule.name, body_of(rule), BY, why), changes=True)
    typer.echo(f"Rule {rule.name} is in force, version {version}.")


@app.command("off")
def switch_rule_off(name: str, why: Why) -> None:
    """Switch a rule off. It stays off until somebody puts it back."""
    from cloud.store import rules

    async def work(connection: "Connection") -> int:
        if not await rules.versions(connection, name):
            raise AnjuError(f"there is no rule {name!r}; anju-cloud rule list shows them")
        return await rules.put(connection, name, None, BY, why)

    typer.echo(f"Rule {name} is off, version {_with_database(work, changes=True)}.")


@app.command("reset")
def reset_rule(name: str, why: Why) -> None:
    """Put a rule back to what the pack says, and have it follow the pack again."""
    from cloud.alarms.rules.load import pack
    from cloud.alarms.rules.model import body_of
    from cloud.store import rules

    shipped = next((rule for rule in pack().rules if rule.name == name), None)
    if shipped is None:
        raise AnjuError(f"the pack has no rule {name!r}; to end one of your own: anju-cloud rule off {name}")
    version = _with_database(
        lambda connection: rules.put(connection, name, body_of(shipped), BY, why, origin="pack"), changes=True
    )
    typer.echo(f"Rule {name} is as shipped, version {version}.")


def _origin(row: "RuleVersion") -> str:
    state = "off" if row.body is None else "shipped" if row.origin == "pack" else "changed"
    return f"version {row.version} ({state})"


def _worst(rule: "Rule") -> str:
    from cloud.alarms.rules.model import PRIORITIES, RULE_KINDS

    each = {rule.priority_at(kind, stage) for kind in rule.kinds or RULE_KINDS for stage in range(1, rule.stages + 1)}
    return next(priority for priority in PRIORITIES if priority in each)


def _start(since: str, end: datetime, zone: ZoneInfo) -> datetime:
    """When the trial begins. Raises AnjuError for what is no time, or none that anything is kept of."""
    if ago := _AGO.fullmatch(since):
        start = end - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        try:
            start = datetime.fromisoformat(since)
        except ValueError as e:
            raise AnjuError(f"{since!r} is no time; write 30d, 12h, 45m, or a date as 2026-11-01") from e
        start = start if start.tzinfo else start.replace(tzinfo=zone)
    if not end - _MOST_AGO <= start < end:
        raise AnjuError(f"{since!r} is not within the last {_MOST_AGO.days} days")
    return start.astimezone(UTC)


def _lines(found: "Iterable[Would]", zone: ZoneInfo, end: datetime) -> "Iterable[str]":
    for would in sorted(found, key=lambda one: one.from_at):
        lasted = (would.until_at or end) - would.from_at
        ended = f"for {_span(lasted)}" if would.until_at else f"stands, for {_span(lasted)}"
        value = f"{would.value:.6g}" if isinstance(would.value, float) else would.value or ""
        at = f"{would.from_at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        yield "\t".join((at, ended, would.priority, would.where, f"{would.kind}.{would.point}".strip("."), str(value)))


def _summary(found: "list[Would]", over: timedelta) -> str:
    if not found:
        return f"It would have raised nothing in {_span(over)}."
    places: dict[str, int] = {}
    for would in found:
        places[would.where] = places.get(would.where, 0) + 1
    worst, times = max(places.items(), key=lambda one: one[1])
    a_day = len(found) / max(over / timedelta(days=1), 1e-9)
    alarms = "1 alarm" if len(found) == 1 else f"{len(found)} alarms"
    return f"It would have raised {alarms} in {_span(over)}, {a_day:.3g} a day, at {len(places)} places; most ({times}) at {worst}."  # noqa: E501


def _span(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.3g} days"
