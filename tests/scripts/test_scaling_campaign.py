"""The campaign scaling: what it says of ranks that count, and that docs/many-machines.md says the same."""

import json
import shutil
import subprocess
import sys

import pytest

from campaigns import scaling
from tally import results
from tally.judging import Missing

ROUNDS = 7


def entries(cell, seconds, events=1000, **more):
    """A cell's samples: so many events in so many seconds, or in those of a list by round."""
    each = seconds if isinstance(seconds, list) else [seconds] * ROUNDS
    name = f"cpu/{cell}"
    return [{"name": name, "run_name": name, "run_type": "iteration", "round": round_, "verified": True, "items_per_second": events / took,
             "events_counted": events, **({"count_s": took} if "ranks" in cell else {}), **more} for round_, took in enumerate(each)]


def found(tmp_path, *cells):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"context": {}, "benchmarks": sum(cells, [])}), encoding="utf-8")
    return results.load(path)


ONE, BOTH = "fibers/workers:1/ranks:1/hosts:1", "fibers/workers:1/ranks:2/hosts:1"
PROCESS, HOSTS = "fibers/workers:2", "fibers/workers:1/ranks:2/hosts:2/delay_ms:5"


def test_two_ranks_that_each_count_as_one_does_have_lost_nothing_weakly_or_strongly(tmp_path):
    for kind, both_s, events in (("weak", 0.5, 2000), ("strong", 0.25, 1000)):
        (point,) = scaling.points_of(f"{kind}-work", found(tmp_path, entries(ONE, 0.5), entries(BOTH, both_s, events)))
        assert point.predicted == pytest.approx(both_s) and point.measured.median == both_s and scaling.off(point) == pytest.approx(0)
        assert f"| 1 us of work an event | twice one rank, {kind} scaling | 100% | 100% (fibers) | 100% (fibers) |" in scaling.efficiency_table([point])


def test_ranks_are_held_against_as_many_workers_of_one_process_and_sequential_ones_against_processes(tmp_path):
    shards, sequential = "process_shard/workers:2", "sequential/workers:1/ranks:2/hosts:1"
    points = scaling.points_of("held-memory", found(tmp_path, entries(PROCESS, 0.5), entries(BOTH, 0.6), entries(shards, 0.3),
                                                             entries(sequential, 0.3)))
    assert [(p.model, round(p.predicted, 6), round(scaling.off(p), 6)) for p in points] == [("fibers", 0.5, 0.2), ("sequential", 0.3, 0)]


def test_lookups_of_ranks_are_held_against_one_rank_with_a_service_and_one_process_with_one_service_is_reported(tmp_path):
    cells = entries(PROCESS, 0.75), entries(ONE, 0.5, 500), entries(BOTH, 0.5)
    points = scaling.points_of("held-lookups", found(tmp_path, *cells))
    assert [(p.name, p.predicted, p.measured.median) for p in points] == [("held-lookups", 0.5, 0.5), ("process-lookups", 0.75, 0.5)]
    assert scaling.split(points) == (points[:1], points[1:])
    assert "| one process of two workers | 150% |" in scaling.efficiency_table(points[1:])


def test_what_ranks_take_to_merge_is_no_part_of_their_counting(tmp_path):
    ranks = entries(BOTH, 0.5)
    for entry in ranks:
        entry["items_per_second"] /= 3
    (point,) = scaling.points_of("held-memory", found(tmp_path, entries(PROCESS, 0.5), ranks))
    assert scaling.off(point) == pytest.approx(0)


def test_a_point_is_held_against_the_same_round_as_machines_drift(tmp_path):
    alone = [0.1 * (1 + round_) for round_ in range(ROUNDS)]
    (point,) = scaling.points_of("held-work", found(tmp_path, entries(PROCESS, alone), entries(BOTH, [1.1 * s for s in alone])))
    assert scaling.off(point) == pytest.approx(0.1)
    assert point.ratio.low == pytest.approx(1.1) == point.ratio.high


def test_a_point_that_is_off_by_more_than_a_fifth_is_not_met(tmp_path):
    for slower, verdict, good in ((1.19, "met", "1 of 1"), (1.21, "NOT MET", "0 of 1"), (0.79, "NOT MET", "0 of 1")):
        points = scaling.points_of("held-work", found(tmp_path, entries(PROCESS, 0.5), entries(HOSTS, 0.5 * slower)))
        text = scaling.judged(points).page("judge.py")
        assert f"| 1 us of work an event | 2 hosts, 5 ms each way | {good} | {slower - 1:+.0%} (fibers) |" in text
        assert f"] | {verdict} |" in text


def test_a_cell_that_failed_is_not_left_out(tmp_path):
    lost = entries(BOTH, 0.5, error_occurred=True, error_message="a rank is lost", verified=False)
    with pytest.raises(Missing, match="fibers.*a rank is lost"):
        scaling.points_of("held-work", found(tmp_path, entries(PROCESS, 0.5), lost))


def test_a_cell_with_nothing_to_hold_it_against_is_said(tmp_path):
    with pytest.raises(Missing, match="nothing of fibers to hold it against"):
        scaling.points_of("held-work", found(tmp_path, entries(BOTH, 0.5)))


def test_the_page_on_scaling_says_what_the_measured_ranks_say(root, tmp_path):
    folder, page = tmp_path / "scaling", tmp_path / "scaling.md"
    shutil.copytree(root / "results/scaling", folder)
    shutil.copy(root / "docs/many-machines.md", page)
    done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", "scaling", "-o", folder, "--judge", "--doc", page],
                          capture_output=True, text=True)
    assert done.returncode in (0, 1) and "within 20%" in done.stdout, done.stderr
    assert page.read_text() == (root / "docs/many-machines.md").read_text()
    assert (folder / "scaling.md").read_text() == (root / "results/scaling/scaling.md").read_text()
