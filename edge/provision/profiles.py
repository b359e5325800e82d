"""`anju profile`: which models are known, and whether a file of a model has mistakes."""

import difflib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from contract.config import FILE
from contract.errors import AnjuError, ConfigError, Mistake
from contract.kinds import KINDS, Kind
from contract.profile import AnyProfile, Name, load_profile, load_profiles, shipped_profiles
from edge.provision.columns import clip, pad, width_of
from edge.provision.profile_draft import PLACEHOLDERS, draft

BESIDE = "profiles"
"""The folder beside a site file where an estate's own models are."""
_UNCUT = 200
PROTOCOLS = ("modbus", "ble", "mqtt")


def known_profiles(site: Path | None) -> dict[str, AnyProfile]:
    """The shipped models, and those beside a site file, which replace shipped ones of the same id."""
    profiles = load_profiles(shipped_profiles())
    return profiles | load_profiles(site.parent / BESIDE) if site is not None else profiles


def kind_of(name: str) -> Kind:
    """The kind of a name. Raises AnjuError with the one that was meant, or all."""
    if name in KINDS:
        return KINDS[name]
    near = difflib.get_close_matches(name, KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "there are: " + ", ".join(sorted(KINDS))
    raise AnjuError(f"kind {name!r} does not exist; {hint}")


def checked_protocol(name: str) -> str:
    """A protocol's name. Raises AnjuError with those there are."""
    if name not in PROTOCOLS:
        raise AnjuError(f"protocol {name!r} does not exist; there are: {', '.join(PROTOCOLS)}")
    return name


def find(profiles: Mapping[str, AnyProfile], name: str) -> AnyProfile:
    """The profile of an id. Raises AnjuError with the one that was meant."""
    if name in profiles:
        return profiles[name]
    near = difflib.get_close_matches(name, profiles, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`anju profile list` shows those there are"
    raise AnjuError(f"profile {name!r} does not exist; {hint}")


def chosen(profiles: Mapping[str, AnyProfile], kind: str, protocol: str) -> list[AnyProfile]:
    """The profiles of a kind and a protocol ("": any), by the order of the kinds and then by id."""
    if kind:
        kind_of(kind)
    if protocol:
        checked_protocol(protocol)
    order = {name: n for n, name in enumerate(KINDS)}
    found = (p for p in profiles.values() if kind in {"", p.kind} and protocol in {"", p.protocol})
    return sorted(found, key=lambda profile: (order[profile.kind], profile.id))


def table_width() -> int:
    """Columns of the terminal; what goes into a file or another program is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNCUT


def title(kind: Kind) -> str:
    """What a kind is called in both languages, and in files where that differs."""
    return f"{kind.zh} {kind.en}" + (f" ({kind.name})" if kind.name != kind.en else "")


def as_table(profiles: Iterable[AnyProfile], width: int) -> list[str]:
    """The models under their kinds, in lines of at most `width` columns."""
    profiles = list(profiles)
    ids = max((width_of(profile.id) for profile in profiles), default=0)
    lines: list[str] = []
    kind = ""
    for profile in profiles:
        if profile.kind != kind:
            kind = profile.kind
            lines.extend([""] if lines else [])
            lines.append(title(KINDS[kind]))
        head = f"  {pad(profile.id, ids)}  {pad(profile.protocol, 6)}  "
        lines.append(head + clip(f"{profile.vendor} {profile.model}", max(12, width - width_of(head))))
    return lines


def as_json(profiles: Iterable[AnyProfile]) -> str:
    """The models for a program."""
    entries = [
        {
            "id": profile.id,
            "protocol": profile.protocol,
            "kind": profile.kind,
            "kind_en": KINDS[profile.kind].en,
            "kind_zh": KINDS[profile.kind].zh,
            "vendor": profile.vendor,
            "model": profile.model,
            "points": sorted(profile.points),
            "source": profile.source,
        }
        for profile in profiles
    ]
    return json.dumps(entries, ensure_ascii=False, indent=2)


def create(protocol: str, kind: str, name: str, site: Path | None) -> Path:
    """Writes a file to begin a model with, beside the site file (or here, without one), and returns where it is.

    Raises AnjuError where a name is none, or taken already.
    """
    checked_protocol(protocol)
    kind_of(kind)
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError:
        raise AnjuError(f"{name!r} cannot be an id: small letters a to z, digits, and . _ - between") from None
    folder = (site.parent if site is not None else Path()) / BESIDE
    path = folder / f"{name}.yaml"
    if name in load_profiles(shipped_profiles()):
        raise AnjuError(f"a model {name!r} is shipped already; `anju profile show {name}` shows it")
    try:
        folder.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(draft(protocol, kind, name))
    except FileExistsError:
        raise AnjuError(f"{path} exists already") from None
    except OSError as e:
        raise AnjuError(f"{path} cannot be written: {e.strerror}") from e
    return path


def check_files(files: Iterable[Path]) -> list[str]:
    """A line for each file that has no mistakes; folders stand for the files in them.

    Raises ConfigError with every mistake of every file.
    """
    shipped = load_profiles(shipped_profiles())
    good: list[str] = []
    mistakes: list[Mistake] = []
    seen: dict[str, Path] = {}
    for path in _each(files):
        try:
            profile = load_profile(path)
        except ConfigError as e:
            mistakes.extend(e.mistakes)
            continue
        if profile.id in seen:
            hint = f"it is also in {seen[profile.id]}"
            mistakes.append(Mistake(str(path), FILE, f"profile {profile.id!r} exists twice", hint))
        seen[profile.id] = path
        if blank := list(_unwritten(path, profile)):
            mistakes.extend(blank)
            continue
        good.append(f"{path}: no mistakes. {_summary(profile)}")
        if profile.id in shipped and not path.resolve().is_relative_to(shipped_profiles()):
            good.append("  It replaces the shipped profile of the same id wherever it lies beside a site file.")
    if mistakes:
        raise ConfigError(mistakes)
    return good


def _unwritten(path: Path, profile: AnyProfile) -> Iterable[Mistake]:
    """What still says what `anju profile new` wrote: nobody has looked whether the rest is so either."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for name, text in PLACEHOLDERS.items():
        if getattr(profile, name) == text:
            line = next((n for n, line in enumerate(lines, 1) if line.startswith(f"{name}:")), FILE)
            hint = "write what is so, or take the line out" if name.startswith("notes") else "write what is so"
            yield Mistake(str(path), line, f"{name} is still to be written: it says {text!r}", hint)


def _summary(profile: AnyProfile) -> str:
    kind = KINDS[profile.kind]
    count = len(profile.points)
    return f"{kind.en} {kind.zh}, {profile.protocol}, {count} point{'s' if count != 1 else ''}"


def _each(files: Iterable[Path]) -> Iterable[Path]:
    for path in files:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(path.rglob("*.yaml"))
        if not inside:
            raise AnjuError(f"{path} holds no profile: no file there ends with .yaml")
        yield from inside
