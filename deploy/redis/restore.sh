#!/bin/sh
# Put a backup, an RDB file, into the empty data folder of a stopped server with an append-only file.
#   restore.sh FILE DIR
# A server with `appendonly yes` reads no dump.rdb. So the backup becomes the base of its append-only file.
set -eu
fail() { echo "$1" >&2; exit 1; }
[ $# = 2 ] || fail "Two arguments are needed: restore.sh FILE DIR"
[ -f "$1" ] || fail "There is no file $1."
[ "$(head -c 5 "$1")" = REDIS ] || [ "$(head -c 6 "$1")" = VALKEY ] || fail "$1 is no RDB file."
# An RDB file ends with the byte 0xFF and a checksum of 8 bytes.
[ "$(tail -c 9 "$1" | head -c 1 | od -An -tx1 | tr -d ' ')" = ff ] || fail "$1 is cut off, or was written by \`--rdb -\`, which adds a mark."
[ ! -e "$2/appendonlydir" ] || fail "$2/appendonlydir is there. Stop the server and move the folder away."
mkdir -p "$2/appendonlydir"
cp "$1" "$2/appendonlydir/appendonly.aof.1.base.rdb"
echo 'file appendonly.aof.1.base.rdb seq 1 type b' > "$2/appendonlydir/appendonly.aof.manifest"
