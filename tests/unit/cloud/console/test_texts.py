"""No text without Chinese words, none left over, and the language that a person gets."""

import re

import pytest

from cloud.console import i18n
from cloud.console.i18n import extract

PLACES = re.compile(r"%\((\w+)\)s|\{(\d)\}")


def test_every_text_has_chinese_words():
    assert extract.missing("zh_CN") == []


def test_the_catalogue_has_no_text_that_nothing_says():
    assert extract.unused("zh_CN") == []


def test_the_extractor_sees_templates_and_code():
    found = {*extract.texts_of_templates(), *extract.texts_of_code()}
    assert extract.Text("", "Acknowledge") in found
    assert extract.Text("alarm state", "suppressed") in found
    assert extract.Text("", "%(n)s block waits", "%(n)s blocks wait") in found


def test_translations_fill_the_same_places():
    for text, forms in extract.catalogue("zh_CN").items():
        for form in forms:
            assert set(PLACES.findall(form)) <= set(PLACES.findall(text.one)), text


@pytest.mark.parametrize(
    ("cookie", "setting", "header", "language"),
    [
        (None, None, None, "zh_CN"),
        (None, None, "fr-FR", "zh_CN"),
        (None, None, "en-GB,en;q=0.9", "en"),
        (None, None, "zh-TW,en;q=0.5", "zh_CN"),
        (None, "en", "zh-CN", "en"),
        ("zh_CN", "en", "en", "zh_CN"),
        ("../etc", None, "en", "en"),
    ],
)
def test_the_switch_wins_over_the_setting_over_the_browser(cookie, setting, header, language):
    assert i18n.choose(cookie, setting, header) == language
