#!/bin/sh
# Runs `anju-cloud ARGUMENTS` with the database's password taken from its secret file, so that it stands neither in
# the compose file nor in what `docker inspect` shows.
set -eu
secret=${DB_PASSWORD_FILE:-/run/secrets/db_password}
if [ -e "$secret" ]; then
  PGPASSWORD=$(cat "$secret") || { echo "$secret cannot be read by uid $(id -u). Say: sudo sh init.sh" >&2; exit 1; }
  export PGPASSWORD
fi
exec anju-cloud "$@"
