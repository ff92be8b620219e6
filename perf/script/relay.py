#!/usr/bin/env python3
"""First thread of the replaced script: Kafka -> value['result'] -> another Kafka cluster, one send and flush a record."""

import argparse

from kafka import KafkaProducer

import loop


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_options(parser)
    parser.add_argument("--to-brokers", required=True, help="host:port,... of the target cluster")
    parser.add_argument("--to-topic", required=True, help="target topic")
    options = parser.parse_args()

    producer = KafkaProducer(
        bootstrap_servers=options.to_brokers.split(","), acks="all", value_serializer=loop.encode
    )

    def handle(record):
        producer.send(options.to_topic, record.value["result"])
        # Waits for the answer but does not look at it: a failed send is only logged by the client.
        producer.flush()

    loop.run(options, handle)


if __name__ == "__main__":
    main()
