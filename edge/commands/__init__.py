"""Executes a command once, before its not-after time, and answers what became of it (decision 12).

A command's id is on disk before anything is done; its result is on disk before it is said.
"""

from edge.commands.check import check_command
from edge.commands.ledger import Ledger
from edge.commands.runner import CommandRunner

__all__ = ["CommandRunner", "Ledger", "check_command"]
