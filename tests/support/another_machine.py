"""The box's process on a machine whose kernel names its boot in a file: two machines are never in one boot.

`python -m tests.support.another_machine BOOT_FILE SITE STATE LISTEN`
"""

import sys
from pathlib import Path

import contract.clock

if __name__ == "__main__":
    boot, *words = sys.argv[1:]
    contract.clock._BOOT_ID = Path(boot)
    from edge.__main__ import main

    main(*words)
