"""What a Python program says to `tally run --external`: when it is ready, when it is done, and its counts."""

import argparse
import sys


def say(word):
    print(word, flush=True)


def ready():
    """Stands ready, and waits for the word to begin."""
    say("ready")
    sys.stdin.readline()


def done(counts):
    """Has counted: prints the counts of a dict by key, as bytes or text."""
    say("done")
    sys.stdout.writelines(f"{count}\t{text(key)}\n" for key, count in counts.items())
    sys.stdout.flush()


def done_windows(windows, window_ns):
    """Has counted: prints the counts of a dict by window, each a dict by key; window n begins at n * window_ns. Without windows
    (window_ns is 0) there is one, 0."""
    if window_ns == 0:
        done(windows.get(0, {}))
        return
    say("done")
    for number, counts in windows.items():
        seconds, ns = divmod(number * window_ns, 10**9)
        sys.stdout.writelines(f"{seconds}.{ns:09}\t{count}\t{text(key)}\n" for key, count in counts.items())
    sys.stdout.flush()


def nanoseconds(time):
    """A time in seconds, as bytes with up to nine decimals, exactly."""
    whole, _, decimals = time.partition(b".")
    return int(whole) * 10**9 + int(decimals.ljust(9, b"0"))


def server_arguments(description):
    """The command line of a server."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--connections", type=int, default=0, help="as a model of `tally run`: serve so many connections, and end")
    parser.add_argument("--window-ns", type=int, default=0, help="count in windows of event time, of so many nanoseconds")
    return parser.parse_args()


def text(key):
    return key.decode() if isinstance(key, bytes) else key
