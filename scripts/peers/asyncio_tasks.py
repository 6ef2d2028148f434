#!/usr/bin/python3
"""Counts the events of a file with asyncio, a task for each event, of which a bounded number are under way at once.

    tally run --external asyncio_tasks='scripts/peers/asyncio_tasks.py {events}' --stream cpu --grain 0
"""

import asyncio
import collections
import itertools
import sys

import tally_peer

AT_ONCE = 1000
counts = collections.Counter()


async def handle(key):
    counts[key] += 1


async def count(path):
    tally_peer.ready()
    with open(path, encoding="ascii") as events:
        keys = (line.rstrip("\n") for line in events)
        while some := list(itertools.islice(keys, AT_ONCE)):
            await asyncio.gather(*(asyncio.create_task(handle(key)) for key in some))


if __name__ == "__main__":
    asyncio.run(count(sys.argv[1]))
    tally_peer.done(counts)
