#!/usr/bin/python3
"""Counts events that arrive over TCP, with asyncio's streams: a line at a time.

    scripts/peers/asyncio_server.py --port 7070
    tally run --external asyncio_server='scripts/peers/asyncio_server.py --port {port} --connections {connections} --window-ns {window_ns}' --stream ingest

An event is a line: its key, or, where it has tabs, the second field; then the first is its time. SIGTERM prints
`0<TAB>events<TAB>distinct_keys`, as `tally serve --window 0` does, and ends it; with `--connections` it is a model of `tally run`, and ends
with the last of so many connections.
"""

import asyncio
import collections
import signal

import tally_peer

windows = collections.defaultdict(collections.Counter)  # by number
counts = windows[0]


async def count(reader):
    """Counts what a client sends, until it has sent all or its last line has no end."""
    while (line := await reader.readline()).endswith(b"\n"):
        key = line.rstrip(b"\r\n")
        if b"\t" in key:
            key = key.split(b"\t", 2)[1]
        counts[key] += 1


async def count_by_window(reader, window_ns):
    """The same, in windows of event time."""
    while (line := await reader.readline()).endswith(b"\n"):
        time, key = line.rstrip(b"\r\n").split(b"\t", 2)[:2]
        windows[tally_peer.nanoseconds(time) // window_ns][key] += 1


async def serve(port, connections, window_ns):
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    opened = ended = 0

    async def serve_client(reader, writer):
        nonlocal opened, ended
        opened += 1
        if opened == connections:
            tally_peer.say("ready")
        await (count_by_window(reader, window_ns) if window_ns else count(reader))
        writer.close()
        ended += 1
        if ended == connections:
            over.set()

    server = await asyncio.start_server(serve_client, "127.0.0.1", port, backlog=1024)
    if connections:
        tally_peer.say("listening")
        await over.wait()
        tally_peer.done_windows(windows, window_ns)
    else:
        print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await over.wait()
        print(0, sum(counts.values()), len(counts), sep="\t")


def main():
    arguments = tally_peer.server_arguments(__doc__)
    asyncio.run(serve(arguments.port, arguments.connections, arguments.window_ns))


if __name__ == "__main__":
    main()
