"""What tests of the built program share."""

MODELS = ["sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "event_loop", "coroutines_asio"]
# Lines of every kind: a key twice, empty, with CRLF, without an end.
LOG = (b"b x 1\na y 2\n\nb z 3\nc x 1\r\nb x 1\n" b"no final newline")


def refused(done, *said, status=2):
    """Exactly one line on stderr, nothing on stdout, and every part of `said` in the line."""
    text = done.stderr.decode()
    assert done.returncode == status, (done.returncode, text)
    assert done.stdout == b""
    assert text.startswith("tally: ") and text.count("\n") == 1 and text.endswith("\n"), text
    for part in said:
        assert part in text, (part, text)
