#!/bin/sh
# Makes the virtual environment and installs the locked packages into it.  usage: venv.sh PYTHON VENV
set -eu
python=$1 venv=$2
command -v "$python" >/dev/null || { echo "Anju needs Python 3.11 or newer; $python is not here." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Anju needs Python 3.11 or newer; $python is $("$python" --version). Say: make PYTHON=python3.12 setup" >&2; exit 1; }

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then   # Debian packs these apart
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
  else
    echo "Python's venv module is missing. Say: sudo apt-get install python3-venv" >&2; exit 1
  fi
fi
echo "Setting up $venv (a minute or two the first time)…"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==0.13.*"
# Installed with their hashes checked; then Anju itself, editable, adding nothing that is not in the lock.
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --require-hashes -r requirements.lock
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --no-deps --editable .
env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -OO deploy/setup/warm.py >/dev/null
