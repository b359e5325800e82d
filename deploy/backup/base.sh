#!/bin/sh
# A base backup of the whole server into FOLDER/base, named by the time at which it ended, and away with what is older
# than the KEEP newest ones. Runs beside a working cloud. Connects as libpq does: PGHOST, PGPORT, PGUSER, PGPASSWORD.
# base.sh FOLDER [KEEP]
set -eu
export LC_ALL=C
folder=$1 keep=${2:-7}
part="$folder/base/.part"
rm -rf "$part"
mkdir -p "$folder/base"
pg_basebackup --pgdata="$part" --format=tar --gzip --checkpoint=fast --wal-method=stream --no-password
# What is not on disk yet is no backup.
for file in "$part"/*; do sync "$file"; done
done="$folder/base/$(date -u +%Y%m%dT%H%M%SZ)"
mv "$part" "$done"
sync "$folder/base"
echo "$done"

ls "$folder/base" | sort -r | tail -n +"$((keep + 1))" | while read -r old; do rm -rf "$folder/base/$old"; done
oldest=$(ls "$folder/base" | sort | head -n 1)
first=$(tar -xzOf "$folder/base/$oldest/base.tar.gz" backup_label | sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\)).*/\1/p')
[ -n "$first" ]
# Pieces of the log from before the oldest backup help nobody; their names sort by time within a timeline.
pg_archivecleanup -x .gz "$folder/wal" "$first"
