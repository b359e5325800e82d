"""The quick reader of YAML says what ruamel.yaml says, or leaves the text to it; and no text makes either grow."""

import math
import resource
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.document import MAX_CHARACTERS, Document, Map, Seq, _Reader, _UnusualError, read_document
from contract.document_reference import read_by_reference
from contract.errors import ConfigError, Mistake

ROOT = Path(__file__).parents[3]


def quick(text: str) -> Document | None:
    """What the quick reader makes of a text; None where it leaves it to the other."""
    try:
        return _Reader(text).document()
    except _UnusualError:
        return None


def same(one: object, other: object) -> bool:
    """Whether two parts are alike in value, type and lines."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Map) and isinstance(other, Map):
        keys = {(key, type(key)) for key in one} == {(key, type(key)) for key in other}
        return keys and one.lines == other.lines and all(same(child, other[key]) for key, child in one.items())
    if isinstance(one, Seq) and isinstance(other, Seq):
        return one.lines == other.lines and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return True  # of the same type, so read from one of the words for it
    return one == other


def agrees(text: str) -> bool:
    """Whether the quick reader took the text; asserts that it then says what the reference says."""
    mine = quick(text)
    if mine is None:
        return False
    reference = read_by_reference(Path("x.yaml"), text)
    assert same(mine.root, reference.root), (mine.root, reference.root)
    assert mine.line == reference.line
    return True


# Pieces of text that mean something to YAML, or meant something to YAML 1.1.
PIECES = [
    "a", "b", "- ", "-", ": ", ":", "\n", "\n  ", "\n    ", "\n- ", "{", "}", "[", "]", ",", ", ", "&x ", "*x", "<<: ",
    "<<", "'", '"', "#", " #", "|", "|-", "|+", "|2", ">", ">-", "? ", "?", "!", "!!str ", "%", "@", "`", "~", "null",
    "true", "on", "yes", "Off", "y", "1", "0", "017", "0o17", "0x1F", "1.5", "1e3", "1_000", "1:30", "2026-01-01", "-1",
    "+.5", ".inf", ".nan", "=", "---", "...", "\t", "\r\n", "\\", "\\n", "\\/", "\u2028", "\x85", "烟", "\ufeff",
    "--- ", "  ", " ", "\\x41", "\\u4e2d", "\n\n", "a: ", "b: 1\n", "- a\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=30))
def test_a_text_that_the_quick_reader_takes_means_what_the_reference_says(text: str) -> None:
    mine = quick(text)
    if mine is None:
        return
    try:
        reference = read_by_reference(Path("x.yaml"), text)
    except ConfigError:  # it is stricter about comments beside | and >
        assert "|" in text or ">" in text
        return
    assert same(mine.root, reference.root)
    assert mine.line == reference.line


WORDS = st.from_regex(
    r"[-+]?[0-9_.]{0,6}([eE][-+]?[0-9]{0,3})?|[-+]?0[xobXOB][0-9a-fA-F_]{0,6}|[-+.~a-zA-Z<=0-9_:]{1,6}"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([tT ]+[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?( ?Z|[+-][0-9]{1,2})?)?",
    fullmatch=True,
)


@given(WORDS)
def test_a_word_or_number_means_what_the_reference_says(word: str) -> None:
    agrees(f"- {word}\n- {{k: {word}}}\n- '{word}'\n")
    agrees(f"{word}: 1\n")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("on", "on"), ("Off", "off".title()), ("yes", "yes"), ("n", "n"), ("true", True), ("FALSE", False),
        ("~", None), ("", None), ("017", 17), ("0o17", 15), ("0x1F", 31), ("1:30", "1:30"), ("190:20:30", "190:20:30"),
        ("1_000", 1000), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-.inf", -math.inf), ("10.0.0.5", "10.0.0.5"),
        ("00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"), ("1号楼", "1号楼"), ("-", None), ("3.4.5", "3.4.5"), ("0x", "0x"),
        ("+1", 1), ("-0", 0), ("'1'", "1"), ("http://a:80/#b", "http://a:80/#b"), ("a # b", "a"), ("12e03", 12000.0),
    ],
)  # fmt: skip
def test_words_of_yaml_1_2(tmp_path: Path, word: str, value: object) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"a: {word}\n" if word != "-" else "a:\n  -\n", encoding="utf-8")
    read = read_document(path).root["a"]
    read = read[0] if word == "-" else read
    assert (read, type(read)) == (value, type(value))
    agrees(path.read_text(encoding="utf-8"))


scalars = st.sampled_from(["1", "word", "'quoted'", '"a: b"', "null", "", "true", "0x10", "1.5", "烟感", "|-\n{}text"])
keys = st.sampled_from(["id", "name", "unit", "states", "1", "true", "'on'"])


@st.composite
def nodes(draw: st.DrawFn, indent: int = 0, depth: int = 0) -> str:
    """A value after a key or a dash: a scalar, or a block on the lines below with anchors, aliases and merges."""
    pad = "\n" + " " * indent
    kind = draw(st.sampled_from(["scalar", "map", "seq", "alias"] if depth < 3 else ["scalar", "alias"]))
    if kind == "alias":
        return draw(st.sampled_from([" *m", " *n", " *s", " []", " {}", " {a: 1, b: [x]}"]))
    if kind == "scalar":
        return " " + draw(scalars).replace("{}", " " * indent + " ")
    anchor = draw(st.sampled_from(["", "", " &n", " &m"] if kind == "map" else ["", " &s"]))
    below = [draw(nodes(indent + 2, depth + 1)) for _ in range(draw(st.integers(1, 3)))]
    if kind == "seq":
        return anchor + "".join(f"{pad}-{node}" for node in below)
    names = draw(st.lists(keys, min_size=len(below), max_size=len(below)))
    merges = draw(st.sampled_from(["", "", f"{pad}<<: *m", f"{pad}<<: [*n, *m]", f"{pad}<<: {{c: 1}}"]))
    return anchor + "".join(f"{pad}{name}:{node}" for name, node in zip(names, below, strict=True)) + merges


@given(nodes(indent=2))
def test_documents_of_every_shape(text: str) -> None:
    agrees(f"m: &m\n  id: 1\n  place: {{floor: 2}}\nn: &n {{name: 1, id: 2}}\ns: &s [1, *n]\nrest:{text}\n")


def test_the_quick_reader_takes_what_installers_write() -> None:
    """Or nobody would notice that every file goes the slow way."""
    taken = [ROOT / "simulators" / "scenarios" / "site.yaml", *(ROOT / "device_profiles").rglob("*.yaml")]
    taken += [ROOT / "tests" / "cases" / "site" / name / "site.yaml" for name in ("good", "good-anchors-and-merge")]
    for path in taken:
        assert agrees(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n", "1: a\n1.0: b\n", "a: *b\n", "a: &x [*x]\n", "a: &x {b: *x}\n", "? [a]\n: b\n", "a: !foo b\n",
        "%YAML 1.1\n---\na: yes\n", "a: 1\n---\nb: 2\n", "a: [1\n", "a:\t1\n", "<<: 1\n", "<<: [1]\n",
        "a: 2026-13-45\n", "a: 1_0\n", "a: =\n", "a: !!omap [x: 1]\n", "a: \x07\n", "&k a: 1\n", "a: !!int x\n",
        "a: [0b_, 0x_, ._]\n",
        "a: !!bool maybe\n", f"a: {'1' * 5000}\n", "<<: &m {a: 1}\n<<: *m\n", "a: !!set {x}\n",
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_the_reference(tmp_path: Path, text: str) -> None:
    assert quick(text) is None
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    mistakes: list[Mistake] = []
    try:
        assert isinstance(read_document(path).root, Map)
    except ConfigError as e:
        mistakes = e.mistakes
    assert all(mistake.problem and mistake.line <= 3 for mistake in mistakes)


def test_what_cannot_be_read_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: 2026-13-45\n")
    with pytest.raises(ConfigError) as told:
        read_document(path)
    assert [(mistake.line, mistake.problem) for mistake in told.value.mistakes] == [(2, "a value here cannot be read")]


def test_a_mark_at_the_beginning_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\r\nb: 2\r\n", encoding="utf-8-sig")
    assert read_document(path).root == {"a": 1, "b": 2}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: &k [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}\n" + "".join(
    f"{name}: &{name} {{<<: *{before}, x: *{before}, y: *{before}, z: *{before}}}\n"
    for before, name in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "holds more than 200000 values"),
        (BOMB + "z: !foo 1\n", "holds more than 200000 values"),
        ("z: !foo 1\n" + BOMB, "holds more than 200000 values"),
        ("z: 1_0\n" + MERGES, "holds more than 200000 values"),
        (MERGES, "holds more than 200000 values"),
        ("[" * 100_000, "is nested more than 40 deep"),
        ("a: " + "{b: " * 50 + "1" + "}" * 50, "is nested more than 40 deep"),
        ("z: 1_0\na: " + "{b: " * 50 + "1" + "}" * 50, "is nested more than 40 deep"),
        ("z: 1_0\na: " + "[" * 5000 + "]" * 5000, "is nested more than 40 deep"),
        ("\n".join("- " * 60 for _ in range(3)), "is nested more than 40 deep"),
        ("#" * (MAX_CHARACTERS + 1), f"is longer than {MAX_CHARACTERS} characters"),
        ("[" + "1," * 200_001 + "]", "holds more than 200000 values"),
    ],
)  # fmt: skip
def test_no_text_makes_a_reader_grow(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    before_kb, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ConfigError) as told:
        read_document(path)
    (mistake,) = told.value.mistakes
    assert mistake.problem.startswith(problem)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 200_000
    assert time.process_time() - started < 10
