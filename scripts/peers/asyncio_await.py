#!/usr/bin/python3
"""Counts the events of a file with asyncio, awaiting the handler of each: the plain asynchronous loop.

    tally run --external asyncio_await='scripts/peers/asyncio_await.py {events}' --stream cpu --grain 0
"""

import asyncio
import collections
import sys

import tally_peer

counts = collections.Counter()


async def handle(key):
    counts[key] += 1


async def count(path):
    tally_peer.ready()
    with open(path, encoding="ascii") as events:
        for line in events:
            await handle(line.rstrip("\n"))


if __name__ == "__main__":
    asyncio.run(count(sys.argv[1]))
    tally_peer.done(counts)
