#!/usr/bin/env python3
"""Second thread of the replaced script: Kafka -> value['result'] (+ a Redis hash) -> Elasticsearch, one update a record."""

import argparse

from elasticsearch import Elasticsearch

import loop


def read_table(url, key):
    """The whole hash, once: it is never read again while the program runs."""
    import redis

    return redis.Redis.from_url(url, decode_responses=True).hgetall(key)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_options(parser)
    parser.add_argument("--nodes", required=True, help="http://host:port,... of Elasticsearch")
    parser.add_argument("--index", required=True, help="target index")
    parser.add_argument("--type", default="itmes", help="mapping type (6.x); the original's spelling")
    parser.add_argument("--id-field", default="id", help="member of the document that is its id")
    parser.add_argument("--redis", help="redis://host:port/db: add a value of a hash to each document")
    parser.add_argument("--redis-key", default="codes", help="the hash")
    parser.add_argument("--code-field", default="code", help="member of the document that picks the hash's field")
    parser.add_argument("--into", default="label", help="member of the document that takes the value")
    options = parser.parse_args()

    search = Elasticsearch(options.nodes.split(","), timeout=60, max_retries=1, retry_on_timeout=True)
    table = read_table(options.redis, options.redis_key) if options.redis else None

    def handle(record):
        document = record.value["result"]
        if table is not None and document.get(options.code_field) in table:
            document[options.into] = table[document[options.code_field]]
        search.update(
            index=options.index,
            doc_type=options.type,
            id=document[options.id_field],
            body={"doc": document, "doc_as_upsert": True},
        )

    loop.run(options, handle)


if __name__ == "__main__":
    main()
