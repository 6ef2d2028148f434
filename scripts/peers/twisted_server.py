#!/usr/bin/python3
"""Counts events that arrive over TCP, with Twisted: a chunk of bytes at a time.

    scripts/peers/twisted_server.py --port 7070
    tally run --external twisted_server='scripts/peers/twisted_server.py --port {port} --connections {connections} --window-ns {window_ns}' --stream ingest

An event is a line: its key, or, where it has tabs, the second field; then the first is its time. SIGTERM prints
`0<TAB>events<TAB>distinct_keys`, as `tally serve --window 0` does, and ends it; with `--connections` it is a model of `tally run`, and ends
with the last of so many connections. `--window 60s` of that gives the distinct events of each minute.
"""

import collections

from twisted.internet import protocol, reactor

import tally_peer


def key_of(line):
    fields = line.removesuffix(b"\r").split(b"\t", 2)
    return fields[1] if len(fields) > 1 else fields[0]


class Counting(protocol.Protocol):
    """A client. What it sends after its last line end is no event until the line has ended."""

    rest = b""

    def connectionMade(self):
        self.factory.opened += 1
        if self.factory.opened == self.factory.connections:
            tally_peer.say("ready")

    def dataReceived(self, data):
        data = self.rest + data
        lines = data.split(b"\n")
        self.rest = lines.pop()
        if self.factory.window_ns:
            for line in lines:
                time, key = line.removesuffix(b"\r").split(b"\t", 2)[:2]
                self.factory.windows[tally_peer.nanoseconds(time) // self.factory.window_ns][key] += 1
        else:
            # Where lines are bare keys, a chunk is counted without a call for each line.
            self.factory.windows[0].update(map(key_of, lines) if b"\t" in data or b"\r" in data else lines)

    def connectionLost(self, reason):
        self.factory.ended += 1
        if self.factory.ended == self.factory.connections:
            reactor.stop()


def main():
    arguments = tally_peer.server_arguments(__doc__)
    factory = protocol.Factory.forProtocol(Counting)
    factory.windows = collections.defaultdict(collections.Counter)  # by number
    factory.connections, factory.window_ns = arguments.connections, arguments.window_ns
    factory.opened = factory.ended = 0
    factory.noisy = False
    listening = reactor.listenTCP(arguments.port, factory, backlog=1024, interface="127.0.0.1")
    said = "listening" if arguments.connections else f"listening on 127.0.0.1:{listening.getHost().port}"
    # In the running reactor, SIGTERM has its handler.
    reactor.callWhenRunning(tally_peer.say, said)
    reactor.run()
    if arguments.connections:
        tally_peer.done_windows(factory.windows, arguments.window_ns)
    else:
        counts = factory.windows[0]
        print(0, sum(counts.values()), len(counts), sep="\t")


if __name__ == "__main__":
    main()
