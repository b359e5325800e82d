"""The box's secrets: one file each in a folder, named by the site file, read at start and written to no log."""

import os
from collections.abc import Mapping
from pathlib import Path

from contract.errors import AnjuError
from contract.site import Secret

_SYSTEMD_PREFIX = "secret_"
"""systemd names what it takes from a folder `LoadCredential=secret:/etc/anju/secrets` like this."""


def read_secret(reference: Secret, environment: Mapping[str, str] = os.environ) -> str:
    """The text of a secret, without the newline (of any system) at its end.

    Looked for in ANJU_SECRETS, else in systemd's CREDENTIALS_DIRECTORY. Raises AnjuError saying where it was sought.
    """
    folder = _folder(environment)
    if not folder:
        raise AnjuError(
            f"the site file names the secret {reference.secret!r}, and there is no folder of secrets.\n"
            "    Put it into a file of that name and say ANJU_SECRETS=/its/folder."
        )
    for name in (reference.secret, _SYSTEMD_PREFIX + reference.secret):
        path = Path(folder) / name
        try:
            return path.read_text(encoding="utf-8").rstrip("\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as e:
            raise AnjuError(f"the secret {path} cannot be read: {e}") from e
    raise AnjuError(f"there is no secret {reference.secret!r} in {folder}.\n    Put it there as a file of that name.")


def has_folder(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether it is known where secrets are."""
    return bool(_folder(environment))


def _folder(environment: Mapping[str, str]) -> str:
    return environment.get("ANJU_SECRETS") or environment.get("CREDENTIALS_DIRECTORY") or ""
