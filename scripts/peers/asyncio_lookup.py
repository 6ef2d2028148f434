#!/usr/bin/python3
"""Looks the events' keys up with asyncio's streams: as many connections as may be in flight, a task for each, which take the events in turn.

    tally run --external asyncio_lookup='scripts/peers/asyncio_lookup.py {host} {port} {count} {in_flight}' --stream lookup
"""

import asyncio
import collections
import sys

import tally_peer

counts = collections.Counter()


async def look_up(reader, writer, events):
    """Asks for one event after the other; the answer is `$<length>`, and on the next line the key."""
    for event in events:
        name = b"event:%d" % event
        writer.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(name), name))
        head = await reader.readline()
        if not head.startswith(b"$") or head.startswith(b"$-1"):
            raise ValueError(f"no key for event {event}: {head!r}")
        counts[(await reader.readline())[:-2]] += 1
    writer.close()


async def run(host, port, count, in_flight):
    connections = [await asyncio.open_connection(host, port) for _ in range(in_flight)]
    events = iter(range(count))
    tally_peer.ready()
    await asyncio.gather(*(look_up(*connection, events) for connection in connections))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], *map(int, sys.argv[2:])))
    tally_peer.done(counts)
