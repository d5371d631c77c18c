#!/bin/sh
# Put a backup, an RDB file, into the empty data folder of a stopped server with an append-only file.
#   restore.sh FILE DIR
# A server with `appendonly yes` reads no dump.rdb. So the backup becomes the base of its append-only file.
set -eu
[ "$(head -c 5 "$1")" = REDIS ] || [ "$(head -c 6 "$1")" = VALKEY ] || { echo "$1 is no RDB file." >&2; exit 1; }
[ ! -e "$2/appendonlydir" ] || { echo "$2/appendonlydir is there. Stop the server and move the folder away." >&2; exit 1; }
mkdir -p "$2/appendonlydir"
cp "$1" "$2/appendonlydir/appendonly.aof.1.base.rdb"
echo 'file appendonly.aof.1.base.rdb seq 1 type b' > "$2/appendonlydir/appendonly.aof.manifest"
