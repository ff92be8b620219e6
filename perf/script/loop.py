"""The loop both pipelines of the replaced script share: poll, handle one record at a time, commit.

Its faults are kept on purpose, because this is what sluicegate is compared with: a failed record seeks only its own
partition although poll() has moved all of them, so the next commit passes records that nobody handled. Left out are the
sleeps (30 s after an empty poll, 60 s after an error), which would measure the clock, and the endless retry of a record
that can never succeed, which would never end.
"""

import json
import os
import sys
import time

POLL_MS = 10_000


class Tally:
    """What a run counts, from its first record to its last commit."""

    def __init__(self):
        self.records = 0
        self.failures = 0
        self._start = None
        self._end = None

    def begin(self):
        if self._start is None:
            self._start = (time.perf_counter(), time.process_time())

    def end(self):
        self._end = (time.perf_counter(), time.process_time())

    def report(self):
        """The run as one JSON object; times are seconds, CPU is user and system of the whole process."""
        wall = cpu = 0.0
        if self._start and self._end:
            wall, cpu = (after - before for before, after in zip(self._start, self._end))
        return {
            "records": self.records,
            "wall_s": round(wall, 3),
            "cpu_s": round(cpu, 3),
            "failures": self.failures,
            "process_cpu_s": round(time.process_time(), 3),
        }


def consume(consumer, handle, *, records, idle_s, failures, warm_up_s=60.0, clock=time.monotonic):
    """Handles records one by one until `records` are done, nothing came for `idle_s`, or `failures` calls failed.

    Before the first record it waits `warm_up_s` for the group to form. Returns the Tally.
    """
    tally = Tally()
    deadline = clock() + max(idle_s, warm_up_s)
    while tally.records < records and tally.failures < failures and clock() < deadline:
        wait_ms = max(1, min(POLL_MS, int((deadline - clock()) * 1000)))
        batches = consumer.poll(timeout_ms=wait_ms, max_records=min(500, records - tally.records))
        if not batches:
            continue
        tally.begin()
        if handle_all(consumer, batches, handle, tally):
            consumer.commit()
        tally.end()
        deadline = clock() + idle_s
    return tally


def handle_all(consumer, batches, handle, tally):
    """Handles what one poll returned, up to the first failure; whether there was none."""
    for partition, batch in batches.items():
        for record in batch:
            try:
                handle(record)
            except Exception as error:
                tally.failures += 1
                print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {error!r}", file=sys.stderr)
                consumer.seek(partition, record.offset)
                return False
            tally.records += 1
    return True


def decode(value):
    """A record's value as Python objects. It runs inside poll(), so a broken value ends the program, as it did."""
    return json.loads(value.decode("utf-8"))


def encode(value):
    """Python objects as a record's value."""
    return json.dumps(value).encode("utf-8")


def consumer(options):
    """The script's consumer: oldest record first, commits by hand."""
    from kafka import KafkaConsumer

    return KafkaConsumer(
        options.topic,
        bootstrap_servers=options.brokers.split(","),
        group_id=options.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        value_deserializer=decode,
    )


def checksums_in_c():
    """Whether the client computes CRC-32C in C; in Python its figures would be unfairly bad."""
    from kafka.record import util

    return util.crc32c_c is not None


def add_options(parser):
    """The options both pipelines know."""
    parser.add_argument("--brokers", required=True, help="host:port,... of the source cluster")
    parser.add_argument("--topic", required=True, help="source topic")
    parser.add_argument("--group", required=True, help="consumer group")
    parser.add_argument("--records", type=int, default=sys.maxsize, help="end after so many (default: no end)")
    parser.add_argument("--idle", type=float, default=10.0, help="end when nothing came for so many seconds")
    parser.add_argument("--failures", type=int, default=100, help="end after so many failed calls")


def run(options, handle):
    """Runs the loop and prints its report. Leaves without closing clients, as the script's threads did."""
    source = consumer(options)
    tally = consume(source, handle, records=options.records, idle_s=options.idle, failures=options.failures)
    source.close(autocommit=False)
    print(json.dumps(tally.report() | {"checksums_in_c": checksums_in_c()}), flush=True)
    os._exit(1 if tally.failures >= options.failures else 0)
