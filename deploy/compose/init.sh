#!/bin/sh
# Makes the secrets that compose.yaml names, once; what is there already stays.  usage: sh init.sh
set -eu
cd "$(dirname "$0")"
# The folder is closed to other users of this machine. The files in it must be readable by the containers' users,
# whose numbers are nobody's here.
mkdir -p certs secrets
chmod 700 secrets
if [ -s secrets/db_password ]; then
  echo "secrets/db_password is there already; left as it is."
else
  umask 077
  # Letters and digits only: fit for any place a password may have to stand in.
  LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 40 > secrets/db_password
  chmod 444 secrets/db_password
  echo "Made secrets/db_password. Keep a copy where the backups are kept."
fi
[ -e .env ] || { cp .env.example .env && echo "Made .env from .env.example. Set DOMAIN and TLS in it."; }
