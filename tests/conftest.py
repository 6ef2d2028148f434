"""What the tests of the scripts share.

    pytest -n 2 -m "not serial" tests && pytest -m serial tests    all of them, as scripts/test does
    pytest -n 2 -m "not redis and not mpi and not browser and not slow and not serial" tests    the quick run, which needs no more than a build

pytest -n is python3-pytest-xdist. Markers are explained by pytest --markers.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
# The tests leave nothing behind in the sources.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


MARKERS = {
    "redis": "needs redis-server and redis-cli",
    "mpi": "needs an MPI, and tally-mpi built with it",
    "serial": "measures, or is disturbed by what else runs: runs alone, all others under pytest -n",
    "slow": "is left out of the quick run: costs more than it finds",
}


def pytest_configure(config):
    for name, what in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {what}")


@pytest.fixture(scope="session")
def root():
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def invented_text():
    """An invented result file, as text."""
    return subprocess.run([sys.executable, ROOT / "tests/data/make_invented_result.py"], check=True, capture_output=True,
                          text=True).stdout


@pytest.fixture
def invented(invented_text):
    """An invented result, as data of the test's own."""
    return json.loads(invented_text)


@pytest.fixture(scope="session")
def reference():
    """The reference result, as text."""
    return (ROOT / "results/reference/default.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def program():
    path = pathlib.Path(os.environ.get("TALLY", ROOT / "build/bench/tally")).absolute()
    assert path.is_file(), f"{path} is not there: build it, or name it in the environment variable TALLY"
    return path


@pytest.fixture
def tally(program, tmp_path):
    """Runs the program in an empty folder and returns what it did."""

    def run(*arguments, timeout=60, **options):
        return subprocess.run([program, *map(str, arguments)], cwd=tmp_path, capture_output=True, timeout=timeout, **options)

    return run
