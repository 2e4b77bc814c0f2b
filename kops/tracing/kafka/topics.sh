#!/bin/sh
# Makes the topic of spans as its variables say, or what is there already like them. Run as often as you like.
set -eu
kafka=/opt/kafka/bin
until "$kafka/kafka-broker-api-versions.sh" --bootstrap-server "$BROKERS" >/tmp/answer 2>&1; do
  echo "waiting for $BROKERS: $(tail -n 1 /tmp/answer)"
  sleep 5
done
"$kafka/kafka-topics.sh" --bootstrap-server "$BROKERS" --create --if-not-exists --topic "$TOPIC" \
  --partitions "$PARTITIONS" --replication-factor "$COPIES"
# Partitions become more and never fewer. That there are as many already is an error to Kafka, and none to us.
have=$("$kafka/kafka-topics.sh" --bootstrap-server "$BROKERS" --describe --topic "$TOPIC" | sed -n 's/.*PartitionCount: *\([0-9]*\).*/\1/p')
if [ "$have" -lt "$PARTITIONS" ]; then
  "$kafka/kafka-topics.sh" --bootstrap-server "$BROKERS" --alter --topic "$TOPIC" --partitions "$PARTITIONS"
elif [ "$have" -gt "$PARTITIONS" ]; then
  echo "$TOPIC has $have partitions, which stay: Kafka takes none away" >&2
fi
"$kafka/kafka-configs.sh" --bootstrap-server "$BROKERS" --alter --entity-type topics --entity-name "$TOPIC" --add-config \
  "retention.ms=$RETENTION_MS,retention.bytes=$RETENTION_BYTES,segment.bytes=$SEGMENT_BYTES,min.insync.replicas=$MIN_IN_SYNC,max.message.bytes=$MAX_MESSAGE_BYTES"
"$kafka/kafka-topics.sh" --bootstrap-server "$BROKERS" --describe --topic "$TOPIC"
