#!/bin/sh
# Makes an empty data folder what the server was at TIME (UTC, as 2026-11-24T06:30:00Z; without one: the last that is
# there). Then start PostgreSQL on it, as its own user: it plays the log forward to that time and goes on from there.
# restore.sh FOLDER DATA [TIME]
set -eu
export LC_ALL=C
folder=$1 data=$2 time=${3:-}
if [ -e "$data" ] && [ -n "$(ls -A "$data")" ]; then
    echo "$data is not empty: move it aside first, it may be wanted" >&2
    exit 1
fi
limit=$(printf %s "${time:-9999}" | tr -d ':-')
base=
for found in $(ls "$folder/base" | sort); do
    # Both as 20261124T063000Z: what sorts before ended before.
    if [ "$(printf '%s\n%s\n' "$found" "$limit" | sort | head -n 1)" = "$found" ]; then base=$found; fi
done
if [ -z "$base" ]; then
    echo "no base backup in $folder/base ended before $time; there are: $(ls "$folder/base" | tr '\n' ' ')" >&2
    exit 1
fi
echo "from the base backup $base"
mkdir -p "$data"
chmod 0700 "$data"
tar -xzf "$folder/base/$base/base.tar.gz" -C "$data"
tar -xzf "$folder/base/$base/pg_wal.tar.gz" -C "$data/pg_wal"
cp "$folder/base/$base/backup_manifest" "$data/"
pg_verifybackup --no-parse-wal "$data"   # every file by its checksum
# A backup of a server that was restored before has that one's settings still.
sed -i '/^restore_command =/d; /^recovery_target/d' "$data/postgresql.auto.conf"
{
    echo "restore_command = 'test -f \"$folder/wal/%f.gz\" && gzip -dc \"$folder/wal/%f.gz\" > \"%p\"'"
    if [ -n "$time" ]; then
        # While it reads its settings PostgreSQL does not know yet what Z is.
        echo "recovery_target_time = '$(printf %s "$time" | sed 's/T/ /; s/Z$/+00/')'"
        echo "recovery_target_action = 'promote'"
    fi
} >> "$data/postgresql.auto.conf"
touch "$data/recovery.signal"
echo "ready: start PostgreSQL on $data"
