#!/usr/bin/env python3
"""Exits 0 if the cloud of this container answers /healthz with 200 within four seconds, else 1."""

import os
import sys
import urllib.request

port = os.environ.get("ANJU_LISTEN", "127.0.0.1:8080").rpartition(":")[2]
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=4):
        pass
except OSError as error:
    sys.exit(str(error))
