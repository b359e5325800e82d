"""Linkage: what the box does by itself when triggers of a zone agree, also without the cloud (decision 13).

`Linkage` joins three parts: rules that decide (pure), a performer that does, a memory over restarts. It supplements a
certified fire panel and never replaces it.
"""

from edge.linkage.linkage import Linkage
from edge.linkage.performer import Executor

__all__ = ["Executor", "Linkage"]
