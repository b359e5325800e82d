"""How this box is, on a small page for people and as metrics for machines. Nothing of the box depends on it."""

from edge.health.server import parse_listen, serve_health
from edge.health.status import BoxStatus, PointError
from edge.health.tally import Tally
from edge.health.wear import Wear

__all__ = ["BoxStatus", "PointError", "Tally", "Wear", "parse_listen", "serve_health"]
