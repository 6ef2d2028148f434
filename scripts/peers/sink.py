#!/usr/bin/python3
"""Reads whatever arrives over TCP and throws it away: what a load generator can do, where no server is in its way.

    scripts/peers/sink.py --port 7070

SIGTERM prints how many bytes came, and ends it.
"""

import argparse
import select
import signal
import socket
import sys


def serve(listener):
    """Reads all connections, until SystemExit; gives the number of bytes."""
    poll, clients, buffer, read = select.epoll(), {}, bytearray(1 << 18), 0
    poll.register(listener, select.EPOLLIN)
    try:
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == listener.fileno():
                    client, _ = listener.accept()
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
                elif size := clients[descriptor].recv_into(buffer):
                    read += size
                else:
                    clients.pop(descriptor).close()
    except SystemExit:
        return read


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    with socket.create_server(("127.0.0.1", parser.parse_args().port), backlog=1024) as listener:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        print(serve(listener))


if __name__ == "__main__":
    main()
