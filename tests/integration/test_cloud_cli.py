"""`anju-cloud` as an administrator meets it, on a real database."""

import os
import subprocess
import sys

import pytest

from tests.support.servers import Database

PASSWORD = "a long enough password\n"


class Terminal:
    """Runs the command, and gives back what it printed."""

    def __init__(self, url: str) -> None:
        self.environment = os.environ | {"DATABASE_URL": url, "ANJU_LOG_LEVEL": "ERROR"}

    def __call__(self, *words: str, typed: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cloud.cli import main; main()", *words],
            env=self.environment, input=typed, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == (2 if fails else 0), done.stderr
        return (done.stderr if fails else done.stdout).strip()


@pytest.fixture
def run(database_plain: Database) -> Terminal:
    return Terminal(database_plain.url)


def test_people_are_added_shown_disabled_and_given_passwords(run: Terminal) -> None:
    added = run("user", "add", "wang", "--estate", "西苑小区", "--name", "王芳", "--password-stdin", typed=PASSWORD)
    assert added == "wang may log in as operator of 西苑小区."
    again = ("user", "add", "wang", "--estate", "东苑", "--password-stdin")
    assert run(*again, typed=PASSWORD, fails=True) == "there is a person 'wang' already"
    assert run("user", "list") == "wang\t王芳\toperator 西苑小区\tmay log in"
    assert "may not log in any more" in run("user", "disable", "wang")
    assert run("user", "list") == "wang\t王芳\toperator 西苑小区\tdisabled"
    assert run("user", "enable", "wang") == "wang may log in again."
    assert "new password" in run("user", "password", "wang", "--password-stdin", typed="another long password\n")
    short = run("user", "password", "wang", "--password-stdin", typed="short\n", fails=True)
    assert short == "the password has 5 characters; take at least 10, and at most 200"
    assert "there is no person 'li'" in run("user", "disable", "li", fails=True)


def test_a_claim_makes_its_estate(run: Terminal) -> None:
    assert len(run("claim", "--estate", "西苑小区")) == 14
    assert run("history", "--estate", "西苑小区") == ""
