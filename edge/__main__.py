"""The box's own process, which `anju run` becomes: `python -m edge SITE STATE LISTEN`.

It imports nothing of the command line, which would stay in memory for as long as the box runs.
"""

import gc
import signal
import sys
from pathlib import Path

from contract.ending import errors_as_sentences

UNWANTED = ("greenlet", "rich", "bz2", "lzma")
"""What structlog and shutil import where it is there, and the box has no use for: 3.5 MB."""


def main(site: str, state: str, listen: str) -> None:
    """Runs the box until SIGTERM or Ctrl-C. Ends as contract/ending.py says."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is listened for: somebody reloads too early
    gc.disable()  # what is imported stays
    for name in UNWANTED:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that there is none
    from contract.service import configure_logging
    from edge.main import run_until_stopped
    from edge.provision import load_identity

    gc.freeze()  # and is not looked at again
    gc.enable()
    configure_logging()
    with errors_as_sentences():
        run_until_stopped(Path(site), Path(state), listen, load_identity)


if __name__ == "__main__":
    main(*sys.argv[1:])
