#!/usr/bin/python3
"""Counts the events of a file with a pool of processes: the file is cut into pieces of whole lines, each is counted by one of them, and
the counts are merged as they come.

    tally run --external multiprocessing_count='scripts/peers/multiprocessing_count.py {events} {workers}' --stream cpu --grain 0
"""

import collections
import multiprocessing
import os
import sys

import tally_peer

PIECE_BYTES = 1 << 20


def pieces(path):
    """Where pieces of whole lines begin and end."""
    begin, size = 0, os.stat(path).st_size
    with open(path, "rb") as events:
        while begin < size:
            events.seek(min(begin + PIECE_BYTES, size))
            events.readline()
            end = min(events.tell(), size)
            yield path, begin, end
            begin = end


def count(piece):
    path, begin, end = piece
    with open(path, "rb") as events:
        events.seek(begin)
        return collections.Counter(events.read(end - begin).split())


def main(path, workers):
    counts = collections.Counter()
    with multiprocessing.Pool(workers) as pool:
        pool.map(len, [()] * workers)  # all of them have started
        tally_peer.ready()
        for some in pool.imap_unordered(count, pieces(path)):
            counts.update(some)
        tally_peer.done(counts)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
