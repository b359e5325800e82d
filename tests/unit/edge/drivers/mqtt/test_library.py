"""The MQTT driver must not bring an HTTP client and the e-mail package into the box's memory."""

import subprocess
import sys

ALONE = """
import sys
import edge.drivers.mqtt
assert "aiomqtt" in sys.modules
brought = sorted({"urllib.request", "http.client", "email"} & set(sys.modules))
assert not brought, brought
import urllib.request
assert urllib.request.urlopen
"""


def test_an_http_client_is_not_imported_and_still_can_be() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
