#!/bin/sh
# Makes the role that the Secret names, and takes its rights from the one that every Cassandra begins with. Run as often as you like.
#
# The password stands between quotes of CQL: letters, digits, `-` and `_` only, as kops/up makes it.
set -eu
case "$CASSANDRA_USERNAME$CASSANDRA_PASSWORD" in
  *[!A-Za-z0-9_-]*) echo "Secret cassandra: user and password may have letters, digits, - and _ only" >&2; exit 2 ;;
esac
# By the last node that starts, so that all three are there.
ours() { cqlsh "$CASSANDRA_LAST" 9042 -u "$CASSANDRA_USERNAME" -p "$CASSANDRA_PASSWORD" -e "$1"; }
first() { cqlsh "$CASSANDRA_LAST" 9042 -u cassandra -p cassandra -e "$1"; }
until ours 'SELECT release_version FROM system.local' >/tmp/answer 2>&1; do
  echo "no login as $CASSANDRA_USERNAME yet: $(tail -n 1 /tmp/answer)"
  # On all nodes first: a role that one node knows is gone when that node is. Both may fail until the nodes agree, and are tried again.
  if ! first "ALTER KEYSPACE system_auth WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}" 2>&1 ||
    ! first "CREATE ROLE IF NOT EXISTS \"$CASSANDRA_USERNAME\" WITH SUPERUSER = true AND LOGIN = true AND PASSWORD = '$CASSANDRA_PASSWORD'" 2>&1; then
    sleep 5
  fi
done
ours 'ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false'
echo "role $CASSANDRA_USERNAME is there, and role cassandra cannot log in"
