#!/usr/bin/python3
"""Counts events that arrive over TCP, with Twisted: a chunk of bytes at a time.

    scripts/peers/twisted_server.py --port 7070

An event is a line: its key, or, where it has tabs, the second field. SIGTERM prints `0<TAB>events<TAB>distinct_keys`, as
`tally serve --window 0` does, and ends it.
"""

import argparse
import collections

from twisted.internet import protocol, reactor


def key_of(line):
    fields = line.removesuffix(b"\r").split(b"\t", 2)
    return fields[1] if len(fields) > 1 else fields[0]


class Counting(protocol.Protocol):
    """A client. What it sends after its last line end is no event until the line has ended."""

    rest = b""

    def dataReceived(self, data):
        data = self.rest + data
        lines = data.split(b"\n")
        self.rest = lines.pop()
        # Where lines are bare keys, a chunk is counted without a call for each line.
        self.factory.counts.update(map(key_of, lines) if b"\t" in data or b"\r" in data else lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    factory = protocol.Factory.forProtocol(Counting)
    factory.counts = collections.Counter()
    factory.noisy = False
    listening = reactor.listenTCP(parser.parse_args().port, factory, backlog=1024, interface="127.0.0.1")
    # In the running reactor, SIGTERM has its handler.
    reactor.callWhenRunning(lambda: print(f"listening on 127.0.0.1:{listening.getHost().port}", flush=True))
    reactor.run()
    print(0, sum(factory.counts.values()), len(factory.counts), sep="\t")


if __name__ == "__main__":
    main()
