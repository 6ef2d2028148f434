#!/usr/bin/python3
"""Counts events that arrive over TCP, with asyncio's streams: a line at a time.

    scripts/peers/asyncio_server.py --port 7070

An event is a line: its key, or, where it has tabs, the second field. SIGTERM prints `0<TAB>events<TAB>distinct_keys`, as
`tally serve --window 0` does, and ends it.
"""

import argparse
import asyncio
import collections
import signal

counts = collections.Counter()


async def count(reader, writer):
    """Serves a client, until it has sent all or its last line has no end."""
    while (line := await reader.readline()).endswith(b"\n"):
        key = line.rstrip(b"\r\n")
        if b"\t" in key:
            key = key.split(b"\t", 2)[1]
        counts[key] += 1
    writer.close()


async def serve(port):
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(count, "127.0.0.1", port, backlog=1024)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    print(0, sum(counts.values()), len(counts), sep="\t")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
