"""What the tests of the scripts share.

    pytest -n 3 --dist loadgroup -m "not serial" tests && pytest -m serial tests
        all of them, as scripts/test does
    pytest -n 2 --dist loadgroup -m "not redis and not mpi and not browser and not slow" tests
        the quick run, which needs no more than a build

pytest -n is python3-pytest-xdist. Markers are explained by pytest --markers.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import result_files

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
PROGRAM = pathlib.Path(os.environ.get("TALLY", ROOT / "build/bench/tally")).absolute()
# The tests leave nothing behind in the sources: what Python compiles goes to the build, if there is one. Compiled anew each time, the
# tests take two seconds more to be found, and scripts that are commands of their own longer to start.
sys.dont_write_bytecode = not PROGRAM.parent.parent.is_dir()
os.environ["PYTHONDONTWRITEBYTECODE"] = "1" if sys.dont_write_bytecode else ""
sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(PROGRAM.parent.parent / "Testing/pycache")

MARKERS = {
    "browser": "opens pages in Chromium",
    "redis": "needs redis-server and redis-cli",
    "mpi": "needs an MPI, and tally-mpi built with it",
    "serial": "measures, or is disturbed by what else runs: runs alone, all others under pytest -n",
    "slow": "is left out of the quick run: costs more than it finds",
    "xdist_group(name)": "shares a campaign with the others of that name: under pytest -n with --dist loadgroup in the same process",
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
    """A result of a version before this one, as text: such files stay readable."""
    return (ROOT / "tests/data/older_result.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def group(reference):
    """One group of cells of the reference result, and its sequential cell, as text: a quarter of the whole, where that is enough."""
    ends = "/workers:2/grain_ns:1000/batch:256", "/sequential/workers:1/grain_ns:1000/batch:256"
    return result_files.signed(result_files.part(json.loads(reference), lambda name: name.endswith(ends)))


@pytest.fixture(scope="session")
def program():
    assert PROGRAM.is_file(), f"{PROGRAM} is not there: build it, or name it in the environment variable TALLY"
    return PROGRAM


@pytest.fixture
def tally(program, tmp_path):
    """Runs the program in an empty folder and returns what it did."""

    def run(*arguments, timeout=60, **options):
        return subprocess.run([program, *map(str, arguments)], cwd=tmp_path, capture_output=True, timeout=timeout, **options)

    return run
