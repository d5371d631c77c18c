#!/bin/sh
# Make the passwords of Redis's users once: DIR/users/users.acl for the server, DIR/ROLE/url as the REDIS_URL_FILE of a role.
#   make-users.sh DIR [PLACE [SCHEME [?OPTIONS]]]
# PLACE is HOST:PORT; with the scheme redis+sentinel or rediss+sentinel it is HOST:PORT,HOST:PORT/SERVICE of the Sentinels.
# DIR/users/replica.conf has the password for backups and replicas; with Sentinels it belongs into the configuration of each
# server, and DIR/sentinel/sentinel.conf into that of each Sentinel, after its line "sentinel monitor".
# A second run changes nothing. Delete DIR/users/users.acl to make new passwords.
set -eu
dir=$1 place=${2:-redis:6379} scheme=${3:-redis} options=${4:-} roles="model gateway flows replica"
[ ! -s "$dir/users/users.acl" ] || exit 0
case $scheme in
  *+sentinel) roles="$roles sentinel" service=${place#*/}
    case $service in
      "$place" | "" | */*)
        echo "PLACE is $place: with $scheme it is HOST:PORT,HOST:PORT/SERVICE, and OPTIONS of '?db=1' name another database." >&2
        exit 1 ;;
    esac ;;
  *) place=$place/0 ;;
esac
[ -d "$dir" ] || mkdir -p -m 700 "$dir"
mkdir -p "$dir/users" "$dir/model" "$dir/gateway" "$dir/flows"
acl=$(sed '/^#/d' "$(dirname "$0")/users.acl")
for name in $roles; do
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
  acl=$(printf '%s\n' "$acl" | sed "s/^user $name reset on /user $name reset on #$hash /")
  case $name in
    replica) file=$dir/users/replica.conf text="masteruser replica\nmasterauth $password" ;;
    sentinel) mkdir -p "$dir/sentinel" && file=$dir/sentinel/sentinel.conf
      text="sentinel auth-user $service sentinel\nsentinel auth-pass $service $password" ;;
    *) file=$dir/$name/url text="$scheme://$name:$password@$place$options" ;;
  esac
  # Readable by all: the folder of a role is mounted into the containers of this role alone.
  printf '%b\n' "$text" > "$file"
  chmod 444 "$file"
done
printf '%s\n' "$acl" > "$dir/users/users.new"
chmod 444 "$dir/users/users.new"
mv "$dir/users/users.new" "$dir/users/users.acl"
