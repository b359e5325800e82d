"""Rules in files: every mistake at once with its line, and a rule written out is the same rule."""

from pathlib import Path

import pytest

from cloud.alarms.rules import Rule
from cloud.alarms.rules.load import load_rule, load_rules, pack
from cloud.alarms.rules.write import file_text
from contract.errors import ConfigError

TEXT = """
text:
  zh: {title: 名, meaning: 意, do: [做], who: 谁}
  en: {title: t, meaning: m, do: [d], who: w}
"""


def problems(tmp_path: Path, text: str, name: str = "mine") -> str:
    path = tmp_path / f"{name}.yaml"
    path.write_text(f"name: mine\n{text.strip()}\n{TEXT}", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_rule(path)
    return str(raised.value).replace(str(path), "F")


FALLING = "[{at: 2, priority: low}, {at: 1, priority: high}]"
RISING = "[{at: 1, priority: low}, {at: 2, priority: high}]"
STATE = "form: {form: state, point: smoke, words: [smoke]}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("form: {form: state, point: smok, words: [smoke]}", "has a point 'smok'"),
        ("form: {form: state, point: smoke, words: [fire]}", "no word 'fire'"),
        ("form: {form: state, point: smoke, words: []}", "no word is an alarm"),
        ("form: {form: state, point: smoke, words: [clear, smoke]}", "every word of 'smoke' is an alarm"),
        ("form: {form: state, point: temperature, words: [hot]}", "'temperature' is no state"),
        ("form: {form: guess, point: smoke}", "'guess' is not known here"),
        ("form: {form: event, point: smoke, stands_s: 9}", "'smoke' is no event"),
        ("form: {form: event, point: access, stands_s: 9, fields: {grantd: false}}", "carries no 'grantd'"),
        ("form: {form: event, point: access, stands_s: 0}", "stands_s"),
        ("form: {form: count, point: link, words: [off], times: 3, within_s: 9}", "no word 'off'"),
        ("form: {form: count, point: link, times: 3, within_s: 9}", "'link' is no event"),
        ("form: {form: count, point: access, times: 1, within_s: 9}", "times"),
        (
            "form: {form: threshold, points: [smoke], side: above, stages: [{at: 1, priority: low}]}",
            "'smoke' is no number",
        ),
        ("form: {form: threshold, points: [], side: above, stages: [{at: 1, priority: low}]}", "looks at no point"),
        ("form: {form: threshold, points: [level], side: above, stages: []}", "a rule has 1 to 8 stages"),
        (
            f"form: {{form: threshold, points: [level], side: above, stages: {FALLING}}}",
            "not in order",
        ),
        (
            f"form: {{form: threshold, points: [level], side: below, stages: {RISING}}}",
            "not in order",
        ),
        (
            "form: {form: threshold, points: [level], side: either, stages: [{at: -1, priority: low}]}",
            "has to be above 0",
        ),
        (
            "form: {form: rate, points: [level], direction: rises, over_s: 9, stages: [{at: 0, priority: low}]}",
            "has to be above 0",
        ),
        (
            "form: {form: rate, points: [level], direction: rises, over_s: 9, hysteresis: 2, stages: {STAGES}}".replace(
                "{STAGES}", RISING
            ),
            "never be over",
        ),
        ("form: {form: silence, subject: point}", "only subject: point names one"),
        ("form: {form: silence, subject: device, point: level}", "only subject: point names one"),
        ("form: {form: k_of_n, k: 2, of: [], within: unit, within_s: 9}", "nothing counts"),
        (
            "form: {form: k_of_n, k: 2, of: [{kind: dragon, point: fire}], within: unit, within_s: 9}",
            "kind 'dragon' does not exist",
        ),
        (
            "form: {form: k_of_n, k: 2, of: [{kind: smoke_detector, point: smoke}], within: unit, within_s: 9}",
            "'smoke' is no event",
        ),
        (f"kinds: [smoke_detectr]\n{STATE}", "did you mean 'smoke_detector'?"),
        (f"except_kinds: [dragon]\n{STATE}", "'dragon' does not exist"),
        (f"priorities: {{dragon: low}}\n{STATE}", "'dragon' does not exist"),
        (f"kinds: [door]\n{STATE}", "none of its kinds has a point 'smoke'"),
        (f"curve: smoke\n{STATE}", "none of its kinds has a curve 'smoke'"),
        (f"on_delay_s: -1\n{STATE}", "on_delay_s"),
        (f"when: {{from: '25:00'}}\n{STATE}", "of another form"),
        (f"when: {{days: [monday]}}\n{STATE}", "'monday' is not known here"),
        ("form: {form: event, point: access, stands_s: 9}\non_delay_s: 3", "what happens has no delay"),
        (f"colour: red\n{STATE}", "has no field 'colour'"),
    ],
)
def test_a_mistake_is_said(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems(tmp_path, text)


def test_every_mistake_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    said = problems(
        tmp_path, "kinds: [smoke_detector]\nform: {form: state, point: smoke, words: [a, b]}\npriority: bad"
    )
    assert [line.split(" ")[0] for line in said.splitlines() if line.startswith("F:")] == ["F:3:", "F:3:", "F:4:"]


def test_the_file_is_called_as_the_rule(tmp_path: Path) -> None:
    assert "call the file mine.yaml" in problems(tmp_path, STATE, name="other")


def test_a_title_is_filled_in_with_a_kind_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\n{STATE}\n{TEXT}".replace("title: t", "title: '{kinds} {0}'"), encoding="utf-8")
    with pytest.raises(ConfigError, match="is filled in"):
        load_rule(path)


def test_the_mistakes_of_all_files_are_said(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_rules(tmp_path)
    assert {Path(mistake.file).name for mistake in raised.value.mistakes} == {"a.yaml", "b.yaml"}


@pytest.mark.parametrize("rule", pack().rules, ids=lambda rule: rule.name)
def test_a_rule_written_out_is_the_same_rule(rule: Rule, tmp_path: Path) -> None:
    path = tmp_path / f"{rule.name}.yaml"
    path.write_text(file_text(rule), encoding="utf-8")
    assert load_rule(path) == rule
