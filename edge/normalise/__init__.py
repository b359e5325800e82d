"""Samples into readings and events: words and units, what is worth reporting, who is on line, no clear names. Pure."""

from edge.normalise.link import OFFLINE_AFTER_FAILURES
from edge.normalise.normaliser import FAULT_AFTER_ERRORS, Normaliser
from edge.normalise.personal import tokeniser

__all__ = ["FAULT_AFTER_ERRORS", "OFFLINE_AFTER_FAILURES", "Normaliser", "tokeniser"]
