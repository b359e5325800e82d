"""Samples into readings: the profile's words and units, when a reading is worth reporting, and who is on line. Pure."""

from edge.normalise.link import OFFLINE_AFTER_FAILURES
from edge.normalise.normaliser import FAULT_AFTER_ERRORS, Normaliser

__all__ = ["FAULT_AFTER_ERRORS", "OFFLINE_AFTER_FAILURES", "Normaliser"]
