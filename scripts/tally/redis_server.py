"""A Redis server of one's own, on loopback, that leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

READY_WITHIN_S = 10
ENDS_WITHIN_S = 10
TRIES = 5  # for a port that nobody else takes meanwhile


class NoRedis(Exception):
    """There is no server; str() is a line that says why."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def answers(port):
    """Whether something that speaks the Redis protocol answers there: PONG, or an error, as of one that wants a password."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False


class RedisServer:
    """Debian's redis-server in a directory of its own, which answers from construction on, and is gone with the `with`
    statement. It keeps nothing on disk, and goes with this process however that ends."""

    def __init__(self, port=None, cpu=None, **config):
        """On any free port, and any CPU, unless they are named. `config` is Redis's own, with _ for -, each a value or a list of
        words. Raises NoRedis."""
        self.config = {"save": "", "appendonly": "no", "maxclients": 20000, **{k.replace("_", "-"): v for k, v in config.items()}}
        self.cpu = cpu
        self.directory = tempfile.mkdtemp(prefix="tally-redis.")
        self.process = None
        try:
            for program in ("redis-server", "setpriv", *(["taskset"] if cpu is not None else [])):
                if not shutil.which(program):
                    raise NoRedis(f"{program} is missing: apt-get install {'redis-server' if program == 'redis-server' else 'util-linux'}")
            for left in reversed(range(1 if port else TRIES)):
                self.port = port or free_port()
                if port and answers(port):
                    raise NoRedis(f"port {port} is in use")
                try:
                    self.start()
                    return
                except NoRedis:
                    if not left:
                        raise
        except BaseException:
            self.stop()
            raise

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self, wait=True):
        """Starts it, where it was before if it was. Raises NoRedis with what it said."""
        command = ["setpriv", "--pdeathsig", "KILL", "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--daemonize", "no",
                   "--dir", self.directory, "--logfile", os.path.join(self.directory, "log")]
        if self.cpu is not None:
            command = ["taskset", "-c", str(self.cpu), *command]
        for name, value in self.config.items():
            command += [f"--{name}", *([str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)])]
        # A session of its own: Ctrl-C is for the program that asks it.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        start_new_session=True,
                                        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, []))
        until = time.monotonic() + READY_WITHIN_S
        while wait and not answers(self.port):
            if self.process.poll() is not None:
                raise NoRedis(f"redis-server did not start: {self.last_words()}")
            if time.monotonic() > until:
                self.end()
                raise NoRedis(f"redis-server did not answer at port {self.port} within {READY_WITHIN_S} s")
            time.sleep(0.01)

    def last_words(self):
        said = self.process.stderr.read().decode(errors="replace")
        try:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
                said = said.strip() or log.read()
        except OSError:
            pass
        # Of a wrong setting, the last but one is the setting.
        lines = [line.strip(" >") for line in said.splitlines() if line.strip()]
        return ": ".join(lines[-2:]) or f"it ended with status {self.process.returncode}"

    def end(self, number=signal.SIGTERM):
        """Ends the server alone: start() goes on with its directory."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()
        self.process = None

    def stop(self):
        """Ends it and removes its directory."""
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
