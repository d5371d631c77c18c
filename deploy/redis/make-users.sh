#!/bin/sh
# Make the passwords of Redis's users once: DIR/users/users.acl for the server, DIR/ROLE/url as the REDIS_URL_FILE of a role.
#   make-users.sh DIR [PLACE [SCHEME [?OPTIONS]]]
# PLACE is HOST:PORT; with the scheme redis+sentinel or rediss+sentinel it is HOST:PORT,HOST:PORT/SERVICE of the Sentinels.
# For a failover DIR/users/replica.conf belongs into the configuration of each server, and DIR/sentinel/sentinel.conf into
# that of each Sentinel, after its line "sentinel monitor".
# A second run changes nothing. Delete DIR/users/users.acl to make new passwords.
set -eu
dir=$1 place=${2:-redis:6379} service=tandem scheme=${3:-redis} options=${4:-}
[ ! -s "$dir/users/users.acl" ] || exit 0
[ -d "$dir" ] || mkdir -p -m 700 "$dir"
case $place in */*) service=${place#*/} ;; *) place=$place/0 ;; esac
acl=$(sed '/^#/d' "$(dirname "$0")/users.acl")
for name in model gateway flows replica sentinel; do
  mkdir -p "$dir/users" "$dir/$name"
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
  acl=$(printf '%s\n' "$acl" | sed "s/^user $name reset on /user $name reset on #$hash /")
  # Readable by all: the folder of a role is mounted into the containers of this role alone.
  printf '%s://%s:%s@%s%s\n' "$scheme" "$name" "$password" "$place" "$options" > "$dir/$name/url"
  case $name in
    replica) printf 'masteruser replica\nmasterauth %s\n' "$password" > "$dir/users/replica.conf" ;;
    sentinel) printf "sentinel auth-%s $service %s\n" user sentinel pass "$password" > "$dir/sentinel/sentinel.conf" ;;
  esac
  chmod 444 "$dir/$name"/*
done
chmod 444 "$dir/users/replica.conf"
printf '%s\n' "$acl" > "$dir/users/users.new"
chmod 444 "$dir/users/users.new"
mv "$dir/users/users.new" "$dir/users/users.acl"
