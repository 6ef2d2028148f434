#!/usr/bin/python3
"""Counts the events of a file with threads: one reads and hands on batches of lines over a bounded queue, the others count each its own,
and the counts are merged at the end.

    tally run --external threading_count='scripts/peers/threading_count.py {events} {workers} {batch}' --stream cpu --grain 0
"""

import collections
import itertools
import queue
import sys
import threading

import tally_peer

ROOM = 64  # batches in the queue
THE_END = None


def count(batches, tallies):
    tally = collections.Counter()
    while (batch := batches.get()) is not THE_END:
        tally.update(line.rstrip("\n") for line in batch)
    tallies.append(tally)


def main(path, workers, size):
    batches, tallies = queue.Queue(ROOM), []
    threads = [threading.Thread(target=count, args=(batches, tallies)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    tally_peer.ready()
    with open(path, encoding="ascii") as events:
        while batch := list(itertools.islice(events, size)):
            batches.put(batch)
    for _ in threads:
        batches.put(THE_END)
    for thread in threads:
        thread.join()
    tally_peer.done(sum(tallies, collections.Counter()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
