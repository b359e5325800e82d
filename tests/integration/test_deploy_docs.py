"""The pages and scripts of deploy/ name what is there: links, files, commands, rules for udev."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from edge.cli import app

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGES = sorted(DEPLOY.glob("*.md"))
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
RULE = re.compile(r'[A-Z]+(\{[\w./]+\})?(==|!=|=|\+=)"[^"]*"')
"""One match or assignment of a udev rule."""


def anchors(page: Path) -> set[str]:
    """What headings of a page can be linked to as."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert links
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("text", [*PAGES, *SCRIPTS], ids=lambda path: path.name)
def test_files_that_are_named_are_there(text: Path) -> None:
    for name in set(re.findall(r"\bdeploy/[\w./-]*\w", text.read_text(encoding="utf-8"))):
        # What is made at installation is not in the repository.
        assert (ROOT / name).exists() or name == "deploy/compose/secrets", name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"(?:`|bin/|sudo )(?:anju|as_box) ((?:[a-z][a-z-]* ?)+)", text)
    for words in found:
        command: Any = typer.main.get_command(app)
        for word in words.split():
            if not hasattr(command, "commands"):  # its arguments
                break
            assert word in command.commands, f"anju {words}"
            command = command.commands[word]
    assert len(found) > 10 or page.name != "README.md"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_understands_the_scripts(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_the_rules_for_serial_ports_are_rules() -> None:
    text = (DEPLOY / "udev/70-anju-serial.rules").read_text(encoding="utf-8")
    # The examples are held to the same: whoever takes the # away must get a rule.
    lines = [line.removeprefix("#") for line in text.splitlines() if re.match(r"#?[A-Z]+[{=!]", line)]
    assert len(lines) > 8
    for line in lines:
        assert all(RULE.fullmatch(part.strip()) for part in re.split(r",(?=\s*[A-Z])", line)), line
