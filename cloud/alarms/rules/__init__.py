"""Rules: when a condition holds, how bad that is, and what to tell people. Pure."""

from cloud.alarms.rules.book import RuleBook
from cloud.alarms.rules.model import Rule

__all__ = ["Rule", "RuleBook"]
