"""Tasks as they stand in a result file: as many as --batch asks for, or with auto as the model likes."""

import json
import subprocess

import pytest

from tally import model_figures
from tally import results
import validate

EVENTS = 20_000


@pytest.fixture(scope="module")
def measured(program, tmp_path_factory):
    """The path of a result with tasks of 1 and of 300 events, and auto; and the table."""
    out = tmp_path_factory.mktemp("tasks") / "r.json"
    done = subprocess.run([program, "run", "--stream", "cpu", "--workers", "2", "--grain", "0", "--batch", "1,300,auto", "--events", str(EVENTS),
                           "--rounds", "6:6", "--no-progress", "--out", out], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return out, done.stdout.decode()


def samples(path, batch):
    return [e for e in json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if e["run_type"] == "iteration" and e["name"].endswith(f"/batch:{batch}")]


def test_a_task_is_exactly_as_many_events_as_asked_for_in_every_model(measured):
    path, _ = measured
    for batch, tasks in ((1, EVENTS), (300, 67)):
        assert {e["tasks"] for e in samples(path, batch)} == {tasks}
        assert len({e["model"] for e in samples(path, batch)}) >= 8


def test_with_auto_a_model_cuts_as_it_likes_and_the_table_says_how_often(measured):
    path, table = measured
    auto = samples(path, "auto")
    assert {e["batch"] for e in auto} == {"auto"} and all(1 <= e["tasks"] < 3_000 for e in auto)
    assert "batch auto" in table
    assert any("CPU/task" in line and " tasks " in line for line in table.splitlines())


def test_such_a_file_is_valid_and_figures_are_told_of_it(measured):
    path, _ = measured
    text = path.read_text(encoding="utf-8")
    assert {rule for rule, _ in validate.broken(text)} <= {"disclosure", "length", "floor"}, list(validate.broken(text))
    found = model_figures.figures_of(results.load(path))["fibers"]
    # One for each exact batch; of auto, what an event takes.
    assert len([figure for figure in found if figure.name == "overhead per task"]) == 2
    assert len([figure for figure in found if figure.name == "overhead per event"]) == 3
