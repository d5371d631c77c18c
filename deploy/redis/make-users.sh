#!/bin/sh
# Make the passwords of Redis's users once: DIR/users/users.acl for the server, DIR/ROLE/url as the REDIS_URL_FILE of a role.
#   make-users.sh DIR [HOST:PORT [SCHEME [?OPTIONS]]]
# A second run changes nothing. Delete DIR/users/users.acl to make new passwords.
set -eu
dir=$1 place=${2:-redis:6379} scheme=${3:-redis} options=${4:-}
[ ! -s "$dir/users/users.acl" ] || exit 0
[ -d "$dir" ] || mkdir -p -m 700 "$dir"
mkdir -p "$dir/users" "$dir/model" "$dir/gateway" "$dir/flows"
acl=$(sed '/^#/d' "$(dirname "$0")/users.acl")
for name in model gateway flows; do
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
  acl=$(printf '%s\n' "$acl" | sed "s/^user $name reset on /user $name reset on #$hash /")
  # Readable by all: the folder of a role is mounted into the containers of this role alone.
  printf '%s://%s:%s@%s/0%s\n' "$scheme" "$name" "$password" "$place" "$options" > "$dir/$name/url"
  chmod 444 "$dir/$name/url"
done
printf '%s\n' "$acl" > "$dir/users/users.new"
chmod 444 "$dir/users/users.new"
mv "$dir/users/users.new" "$dir/users/users.acl"
