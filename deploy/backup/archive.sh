#!/bin/sh
# PostgreSQL's archive_command: keeps one finished piece of its log, on disk before it says so.
# archive_command = 'sh …/archive.sh %p %f FOLDER'
set -eu
piece=$1 name=$2 folder=$3
kept="$folder/$name.gz"
if [ -e "$kept" ]; then
    # After a crash PostgreSQL may ask again. Another piece of that name would be another server's.
    if gzip -dc "$kept" | cmp -s - "$piece"; then exit 0; fi
    echo "$kept is there already and differs: do two servers archive into one folder?" >&2
    exit 1
fi
gzip -1 -c "$piece" > "$folder/.$name.part"
sync "$folder/.$name.part"
mv "$folder/.$name.part" "$kept"
sync "$folder"
