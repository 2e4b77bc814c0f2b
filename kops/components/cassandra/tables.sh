#!/bin/sh
# Ends when Jaeger's tables are there, of which the schema makes this one last. Ingester and query wait here: without tables they would end,
# and Kubernetes would start them again later and later.
set -eu
until cqlsh cassandra 9042 -u "$CASSANDRA_USERNAME" -p "$CASSANDRA_PASSWORD" -e 'SELECT name FROM jaeger_v1_dc1.leases LIMIT 1' >/tmp/answer 2>&1; do
  echo "waiting for Jaeger's tables: $(tail -n 1 /tmp/answer)"
  sleep 5
done
