"""The loop ends when told to, counts truly, and still has the original's hole. `python -m unittest` in this folder."""

import contextlib
import io
import unittest
from types import SimpleNamespace

import loop


class Consumer:
    """Behaves like kafka-python 2.0.2 where it matters: poll() moves the position of every partition it returns."""

    def __init__(self, partitions):
        self.log = {name: [SimpleNamespace(offset=offset, value=(name, offset)) for offset in range(count)]
                    for name, count in partitions.items()}
        self.position = dict.fromkeys(partitions, 0)
        self.committed = dict.fromkeys(partitions, 0)
        self.now = 0.0

    def poll(self, timeout_ms, max_records):
        batches = {}
        for name, log in self.log.items():
            batch = log[self.position[name]:][:max_records]
            if batch:
                batches[name] = batch
                self.position[name] += len(batch)
                max_records -= len(batch)
        if not batches:
            self.now += timeout_ms / 1000
        return batches

    def seek(self, name, offset):
        self.position[name] = offset

    def commit(self):
        self.committed = dict(self.position)


def run(consumer, handle, **bounds):
    bounds = {"records": 10**9, "idle_s": 10.0, "failures": 100} | bounds
    with contextlib.redirect_stderr(io.StringIO()):
        return loop.consume(consumer, handle, clock=lambda: consumer.now, **bounds)


class LoopTest(unittest.TestCase):
    def test_handles_everything_once_then_ends_idle(self):
        consumer, seen = Consumer({"a": 700, "b": 3}), []
        tally = run(consumer, lambda record: seen.append(record.value))
        self.assertEqual(sorted(seen), sorted(r.value for log in consumer.log.values() for r in log))
        self.assertEqual((tally.records, tally.failures), (703, 0))
        self.assertEqual(consumer.committed, {"a": 700, "b": 3})
        self.assertLessEqual(consumer.now, 10.1)

    def test_ends_after_exactly_the_records_asked_for(self):
        consumer, seen = Consumer({"a": 2000}), []
        tally = run(consumer, seen.append, records=1234)
        self.assertEqual((tally.records, len(seen), consumer.committed), (1234, 1234, {"a": 1234}))

    def test_waits_for_the_group_before_the_first_record_only(self):
        consumer = Consumer({"a": 0})
        run(consumer, lambda record: None)
        self.assertAlmostEqual(consumer.now, 60.0, delta=0.1)

    def test_one_failure_loses_the_other_partitions_records_as_the_original_did(self):
        consumer, seen, failed = Consumer(dict.fromkeys("abcd", 10)), set(), []

        def handle(record):
            if record.value == ("c", 3) and not failed:
                failed.append(record)
                raise RuntimeError("once")
            seen.add(record.value)

        tally = run(consumer, handle)
        self.assertEqual(consumer.committed, dict.fromkeys("abcd", 10))
        self.assertEqual(len(seen), 30, "the ten of d were passed over and committed")
        self.assertEqual((tally.records, tally.failures), (30, 1))

    def test_a_record_that_never_succeeds_ends_the_run(self):
        consumer = Consumer({"a": 5})

        def handle(record):
            raise RuntimeError("always")

        tally = run(consumer, handle, failures=7)
        self.assertEqual((tally.records, tally.failures, consumer.committed), (0, 7, {"a": 0}))


if __name__ == "__main__":
    unittest.main()
