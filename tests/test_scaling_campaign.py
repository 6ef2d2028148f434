"""scripts/scaling_campaign.py: what it says of ranks that count, and that docs/scaling.md says the same."""

import json
import shutil
import subprocess
import sys

import pytest

import scaling_campaign
import tally_results as results
from targets import Missing

ROUNDS = 7


def found(tmp_path, alone_s, both_s, events=1000, events_of_both=2000, **more):
    """The results of one rank that counts so many events in alone_s, and of two; seconds, or a list of them by round."""
    entries = []
    for ranks, seconds, counted in ((1, alone_s, events), (2, both_s, events_of_both)):
        for round_ in range(ROUNDS):
            took = seconds[round_] if isinstance(seconds, list) else seconds
            name = f"cpu/fibers/workers:1/grain_ns:0/batch:64/ranks:{ranks}/hosts:1"
            entries.append({"name": name, "run_name": name, "run_type": "iteration", "stream": "cpu", "model": "fibers", "workers": 1,
                            "grain_ns": 0, "batch": 64, "ranks": ranks, "hosts": 1, "round": round_, "verified": True, "real_time": took * 1e3,
                            "time_unit": "ms", "items_per_second": counted / took, "events_counted": counted, "count_s": took, **more})
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"context": {}, "benchmarks": entries}), encoding="utf-8")
    return results.load(path)


def test_ranks_that_count_as_one_does_are_predicted_weakly_and_strongly(tmp_path):
    for both_s, events_of_both in ((0.5, 2000), (0.25, 1000)):
        (point,) = scaling_campaign.points_of("weak-work", found(tmp_path, 0.5, both_s, events_of_both=events_of_both))
        assert point.predicted == pytest.approx(both_s) and point.measured.median == both_s and scaling_campaign.off(point) == pytest.approx(0)


def test_a_point_is_held_against_the_same_round_as_machines_drift(tmp_path):
    alone = [0.1 * (1 + round_) for round_ in range(ROUNDS)]
    (point,) = scaling_campaign.points_of("weak-work", found(tmp_path, alone, [1.1 * s for s in alone]))
    assert scaling_campaign.off(point) == pytest.approx(0.1)
    assert point.ratio.low == pytest.approx(1.1) == point.ratio.high


def test_a_point_that_is_off_by_more_than_a_fifth_is_named(tmp_path):
    for slower, good in ((1.19, "1 of 1"), (1.21, "0 of 1"), (0.79, "0 of 1")):
        points = scaling_campaign.points_of("hosts2-delay5ms", found(tmp_path, 0.5, 0.5 * slower))
        text = scaling_campaign.report(points)
        assert f"| strong | 1 us of work an event | 2 hosts, delay 5ms | {good} | {slower - 1:+.0%} (fibers) |" in text
        assert text.rstrip().endswith("| off |") == (good == "0 of 1")


def test_a_cell_that_failed_is_no_point_that_is_left_out(tmp_path):
    with pytest.raises(Missing, match="fibers.*lost"):
        scaling_campaign.points_of("weak-work", found(tmp_path, 0.5, 0.5, error_occurred=True, error_message="lost", verified=False))


def test_the_page_on_scaling_says_what_the_measured_ranks_say(root, tmp_path):
    folder, page = tmp_path / "scaling", tmp_path / "scaling.md"
    shutil.copytree(root / "results/scaling", folder)
    shutil.copy(root / "docs/scaling.md", page)
    done = subprocess.run([sys.executable, root / "scripts/scaling_campaign.py", "-o", folder, "--judge", "--doc", page],
                          capture_output=True, text=True)
    assert done.returncode in (0, 1) and "within 20%" in done.stdout, done.stderr
    assert page.read_text() == (root / "docs/scaling.md").read_text()
    assert (folder / "scaling.md").read_text() == (root / "results/scaling/scaling.md").read_text()
