"""The campaigns targets and task_targets, on result files whose figures are set here."""

import copy
import json
import lzma
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def judge(root, tmp_path):
    """Judges the files in a folder; (exit status, the table's rows by campaign and figure)."""

    def run(*arguments, campaign="targets"):
        done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", campaign, "-o", tmp_path, *arguments], capture_output=True,
                              text=True, timeout=60)
        table = (tmp_path / f"{campaign}.md").read_text() if (tmp_path / f"{campaign}.md").exists() else ""
        rows = [[part.strip() for part in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
        return done, {(row[0], row[1]): row[2:] for row in rows[2:]}

    return run


def only(result, prefix, **changes):
    """The cells of one group, each sample changed by `changes`: model -> function of the sample."""
    kept = copy.deepcopy(result)
    kept["benchmarks"] = [b for b in kept["benchmarks"] if b["run_name"].startswith(prefix[0]) and b["run_name"].endswith(prefix[1])]
    for entry in kept["benchmarks"]:
        model = entry["run_name"].split("/")[1]
        if model in changes and entry["run_type"] == "iteration":
            changes[model](entry)
    return kept


def rate_of(value):
    return lambda sample: sample.update(items_per_second=value)


LOOKUP_1000 = ("lookup/", "in_flight:1000")


def test_nothing_measured_is_nothing_met(judge):
    done, rows = judge("--judge")
    assert done.returncode == 1
    assert len(rows) > 60
    assert all("none: " in row[1] for row in rows.values())
    assert {row[2] for row in rows.values()} == {"NOT MET", ""}, "figures that are reported alone are no failures"


def test_a_ratio_is_taken_round_by_round(judge, invented, tmp_path):
    # The machine slows down from round to round, for both alike: the ratio stands.
    def drifts(rate):
        return lambda sample: sample.update(items_per_second=rate / (1 + sample["round"]))

    result = only(invented, LOOKUP_1000, fibers=drifts(95e3), coroutines=drifts(91e3), limit=drifts(100e3))
    (tmp_path / "lookup-1000.json").write_text(json.dumps(result))
    _, rows = judge("--judge")
    assert rows["lookup-1000", "fibers over limit"][:2] == [">= 0.88", "0.95 [0.95, 0.95]"]
    assert rows["lookup-1000", "fibers over limit"][2] == "met"
    assert rows["lookup-1000", "coroutines over limit"][1] == "0.91 [0.91, 0.91]"
    assert rows["lookup-1000", "coroutines over limit"][2] == "NOT MET"


def test_a_compressed_file_is_judged_too(judge, invented, tmp_path):
    result = only(invented, LOOKUP_1000, fibers=rate_of(95e3), limit=rate_of(100e3))
    (tmp_path / "lookup-1000.json.xz").write_bytes(lzma.compress(json.dumps(result).encode()))
    _, rows = judge("--judge")
    assert rows["lookup-1000", "fibers over limit"][1] == "0.95 [0.95, 0.95]"


def test_a_failed_cell_meets_nothing_and_says_why(judge, invented, tmp_path):
    result = only(invented, ("cpu/", "workers:2/grain_ns:1000/batch:1"))
    (tmp_path / "tasks.json").write_text(json.dumps(result | {"context": result["context"] | {"noise_floor": handing_off([1e-8])}}))
    _, rows = judge("--judge", campaign="task_targets")
    row = rows["tasks", "fibers: of bound at 1 us, hand-off near its least"]
    assert "expected 1003, got 1002" in row[1] and row[2] == "NOT MET"


def handing_off(took_s):
    """A noise floor whose rounds' reference hand-offs took so long."""
    return {"samples": [{"round": i, "real_time_s": 0.07, "hand_off_s": s} for i, s in enumerate(took_s)], "median_s": 0.07,
            "relative_half_width": 0.0}


def test_a_task_is_read_over_the_hand_off_of_its_round_and_efficiency_where_that_is_near_its_least(judge, invented, tmp_path):
    result = only(invented, ("cpu/", "workers:2/grain_ns:0/batch:1"),
                  coroutines=lambda s: s.update(cpu_s=3e-8 * s["events_counted"] * (1 + s["round"] % 2), tasks=s["events_counted"]))
    working = only(invented, ("cpu/", "workers:2/grain_ns:1000/batch:1"),
                   coroutines=lambda s: s.update(efficiency=0.95 if s["round"] % 2 == 0 else 0.5))
    result["benchmarks"] += working["benchmarks"]
    result["context"]["noise_floor"] = handing_off([1e-8, 2e-8] * 4)
    (tmp_path / "tasks.json").write_text(json.dumps(result))
    _, rows = judge("--judge", campaign="task_targets")
    assert rows["tasks", "coroutines: CPU of a task over the hand-off"] == ["<= 4", "3 [3, 3]", "met"]
    assert rows["tasks", "coroutines: of bound at 1 us, hand-off near its least"] == [">= 0.92", "0.95 [0.95, 0.95]", "met"]
    assert rows["tasks", "coroutines: METG(50%)"][0] == "reported"
    assert all("none: " in row[1] for (campaign, _), row in rows.items() if campaign == "grain")


def test_a_campaign_is_one_run_whose_output_is_kept(judge, invented, tmp_path):
    result = tmp_path / "made.json"
    result.write_text(json.dumps(only(invented, LOOKUP_1000, fibers=rate_of(1e5), limit=rate_of(1e5))))
    tally = tmp_path / "tally"
    tally.write_text(f'#!/bin/sh\necho "$*"\nwhile [ $# -gt 1 ]; do [ "$1" = --out ] && cp {result} "$2"; shift; done\n')
    tally.chmod(0o755)
    done, rows = judge("--only", "lookup-1000", "--tally", tally)
    assert done.returncode == 1, "the other campaigns are missing"
    assert rows["lookup-1000", "fibers over limit"][1] == "1 [1, 1]"
    said = (tmp_path / "lookup-1000.txt").read_text()
    assert said.startswith("run --model ") and "--in-flight 1000" in said


def test_an_unknown_measurement_is_refused(judge):
    done, _ = judge("--only", "lookup-7")
    assert done.returncode == 2 and "--only lookup-7: choose from lookup-1000, " in done.stderr


def test_the_readme_and_the_table_say_what_the_results_say(root, tmp_path):
    folder, page = tmp_path / "task_targets", tmp_path / "README.md"
    shutil.copytree(root / "results/task_targets", folder)
    shutil.copy(root / "README.md", page)
    done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", "task_targets", "-o", folder, "--judge", "--doc", page],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    assert page.read_text() == (root / "README.md").read_text()
    assert (folder / "task_targets.md").read_text() == (root / "results/task_targets/task_targets.md").read_text()
