#!/bin/sh
# Starts nginx after it has written what the pass of those who have logged in is, in nginx's words: see door.conf.
#
# The pass is a digest of the Secret `login`, so that all replicas know it, nobody can guess it, and a new password ends it with the next
# rollout. The image's own entry point is passed by: it would write a configuration.
set -eu
umask 077
login=/etc/nginx/login/auth
# The digest of nothing is known to everybody.
[ -s "$login" ] || { echo "the Secret login holds nothing under auth; a line of htpasswd belongs there" >&2; exit 1; }
pass=$(sha256sum <"$login" | cut -d ' ' -f 1)
printf '"%s" 1;\n' "$pass" >/tmp/pass.conf
printf '0 "tracelab_door=%s; Path=/; Secure; HttpOnly; SameSite=Strict";\n' "$pass" >/tmp/cookie.conf
exec nginx -p /tmp/ -e stderr -c /etc/nginx/tracelab/door.conf -g 'daemon off;'
