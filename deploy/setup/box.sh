#!/bin/sh
# Makes this machine a box, or brings a box to this checkout's release: environment, unit, user, folders, rules for serial
# ports. Changes nothing that is yours: /etc/anju, the state folder, rules that you have edited. Starts and stops nothing.
# usage: sudo sh deploy/setup/box.sh
set -eu
umask 022   # what root installs the service's user must be able to read, whatever root's own mask is
cd "$(dirname "$0")/../.."
venv=/opt/anju/venv

stop() { echo "box: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || stop "root is needed. Say: sudo sh deploy/setup/box.sh"
command -v systemctl >/dev/null || stop "this needs systemd (Debian 12 or newer, Raspberry Pi OS)."

python=${PYTHON:-python3}
command -v "$python" >/dev/null || stop "$python is missing. Say: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || stop "Python 3.11 or newer is needed, $python is $("$python" --version)."
"$python" -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq; apt-get install -y -qq python3-venv >/dev/null; }

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "uv==0.13.*"
# The versions that were tested, their hashes checked. Compiled now: the service may not write here.
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --compile-bytecode --reinstall-package anju --verify-hashes \
  --constraint requirements.lock ".[edge]"
env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -P -OO deploy/setup/warm.py

cp deploy/systemd/anju-edge.service /etc/systemd/system/
install -D -m 644 deploy/systemd/sysusers.d/anju-edge.conf /etc/sysusers.d/anju-edge.conf
install -D -m 644 deploy/systemd/tmpfiles.d/anju.conf /etc/tmpfiles.d/anju.conf
systemd-sysusers /etc/sysusers.d/anju-edge.conf
systemd-tmpfiles --create /etc/tmpfiles.d/anju.conf
install -d -m 700 -o anju -g anju /var/lib/anju
rules=/etc/udev/rules.d/70-anju-serial.rules
[ -e "$rules" ] || install -D -m 644 deploy/udev/70-anju-serial.rules "$rules"
udevadm control --reload 2>/dev/null || true   # none runs where an image is made
systemctl daemon-reload 2>/dev/null || true

ln -sf "$venv/bin/anju" /usr/local/bin/anju
echo "box: $("$venv/bin/python" -c 'from contract.version import VERSION; print("Anju", VERSION)') is installed."
if systemctl is-active --quiet anju-edge 2>/dev/null; then
  echo "box: restart it now, since it would load what it has not needed yet from the new release: systemctl restart anju-edge"
else
  echo "box: next: /etc/anju/site.yaml, then enrol (deploy/README.md)"
fi
