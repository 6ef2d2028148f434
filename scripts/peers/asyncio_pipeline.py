#!/usr/bin/python3
"""Counts the events of a file with an asyncio pipeline: an async generator reads, a stage strips, a bounded queue hands on, and a
consumer counts.

    tally run --external asyncio_pipeline='scripts/peers/asyncio_pipeline.py {events}' --stream cpu --grain 0
"""

import asyncio
import collections
import sys

import tally_peer

ROOM = 1000  # of the queue
THE_END = None
counts = collections.Counter()


async def read(path):
    with open(path, encoding="ascii") as events:
        for line in events:
            yield line


async def strip(lines):
    async for line in lines:
        yield line.rstrip("\n")


async def hand_on(keys, queue):
    async for key in keys:
        await queue.put(key)
    await queue.put(THE_END)


async def count(queue):
    while (key := await queue.get()) is not THE_END:
        counts[key] += 1


async def run(path):
    queue = asyncio.Queue(ROOM)
    tally_peer.ready()
    await asyncio.gather(hand_on(strip(read(path)), queue), count(queue))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
    tally_peer.done(counts)
