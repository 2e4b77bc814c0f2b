#!/bin/sh
# Copies the image's configuration to where it can be written, and has it ask for a name and a password. For that the image has no variable.
set -eu
cp -R /etc/cassandra/. /config/
sed -i '/^ *#/!{s/AllowAllAuthenticator/PasswordAuthenticator/;s/AllowAllAuthorizer/CassandraAuthorizer/}' /config/cassandra.yaml
for wanted in PasswordAuthenticator CassandraAuthorizer; do
  # Rather no Cassandra than one that lets everybody in.
  if ! grep -v '^ *#' /config/cassandra.yaml | grep -q "$wanted"; then
    echo "cassandra.yaml of this image does not name AllowAll… where it is expected: it would not ask for a password" >&2
    exit 1
  fi
done
