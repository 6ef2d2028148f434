"""scripts/self_check.py: what it makes of raw data. That it measures is seen in results/self_check."""

import json
import lzma
import subprocess
import sys

import pytest

import self_check
from result_files import signed


def keep_raw(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(lzma.compress(text.encode()))


def scaled(text, factor, model):
    """The samples of the result, with one model so many times as fast."""
    data = json.loads(text)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_type"] == "iteration"]
    for entry in data["benchmarks"]:
        if entry["model"] == model:
            entry["items_per_second"] *= factor
            if "efficiency" in entry:
                entry["efficiency"] = entry["items_per_second"] / entry["bound_items_per_second"]
    return signed(data)


def figures(rows):
    return {row.figure.split(" (")[0]: (row.measured, row.met) for row in rows}


def test_of_two_files_what_is_called_and_what_is_found_are_counted(tmp_path, reference):
    model = self_check.SLOWED[0]
    keep_raw(tmp_path, "000-a.json.xz", reference)
    keep_raw(tmp_path, "000-b.json.xz", reference)
    keep_raw(tmp_path, "000-c.json.xz", scaled(reference, 0.5, model))
    keep_raw(tmp_path, "001-a.json.xz", reference)  # a try that was not ended
    found = figures(self_check.judge_files(tmp_path))
    assert found["same binary, two files one after the other: cells called faster or slower"][1]
    assert "0 of 27" in found["same binary, two files one after the other: cells called faster or slower"][0]
    measured, met = found["a model made 10% slower, two files: found"]
    assert "4 of 4" in measured and met


def test_calls_of_what_is_alike_and_misses_of_what_is_not_fail_the_check(tmp_path, reference):
    keep_raw(tmp_path, "000-a.json.xz", reference)
    keep_raw(tmp_path, "000-b.json.xz", scaled(reference, 0.5, "coroutines"))
    keep_raw(tmp_path, "000-c.json.xz", scaled(reference, 0.5, "coroutines"))
    assert [row.met for row in self_check.judge_files(tmp_path)] == [False, False, True]


def test_coverage_is_of_the_first_campaigns_intervals(tmp_path, reference):
    keep_raw(tmp_path, "000-first.json.xz", reference)
    keep_raw(tmp_path, "000-long.json.xz", reference)
    (row,) = self_check.judge_coverage(tmp_path)
    assert "27 of 27" in row.measured and row.met
    keep_raw(tmp_path, "000-long.json.xz", scaled(scaled(reference, 2, "coroutines"), 2, "fibers"))
    (row,) = self_check.judge_coverage(tmp_path)
    assert "19 of 27" in row.measured and not row.met


def test_the_harness_costs_what_is_between_a_sample_and_the_next_beside_the_model():
    def entry(round_, order, started_s):
        return {"run_type": "iteration", "items_per_second": 1.0, "round": round_, "order": order, "started_s": started_s, "startup_s": 0.25,
                "real_time": 500.0, "time_unit": "ms", "teardown_s": 0.25}

    file = {"benchmarks": [entry(0, 0, 10.0), entry(0, 1, 11.5), entry(1, 0, 20.0)],
            "context": {"noise_floor": {"samples": [{"round": 0, "order": 2, "started_s": 12.75}]}}}
    assert self_check.overheads(file) == [(0.5, 1.0), (0.25, 1.0)]


def test_a_wrong_model_that_passes_fails_the_check(tmp_path, reference):
    data = json.loads(reference)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_type"] == "iteration" and b["model"] in ("fibers", "coroutines")]
    for b in data["benchmarks"]:
        b["run_name"] = b["run_name"].replace("/fibers/", "/right/").replace("/coroutines/", "/lost/")
    keep_raw(tmp_path, "workers-1.json.xz", signed(data))
    (row,) = self_check.judge_wrong(tmp_path)
    assert not row.met and row.measured.endswith("0 of 4")


def test_a_share_has_the_interval_of_wilson():
    # 81 of 263 is an example in Newcombe, Statistics in Medicine 17 (1998).
    assert self_check.share(81, 263) == "30.8% [25.5%, 36.6%], 81 of 263"
    assert self_check.share(0, 20) == "0.0% [0.0%, 16.1%], 0 of 20"


@pytest.mark.parametrize("arguments, said", [(["--only", "speed"], "no figure 'speed'"), (["--judge"], "no raw data")])
def test_wrong_arguments_are_refused(root, tmp_path, arguments, said):
    done = subprocess.run([sys.executable, root / "scripts/self_check.py", "-o", tmp_path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr


def test_a_campaign_that_cannot_run_is_a_line(root, tmp_path):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/tally").write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    (tmp_path / "bench/tally").chmod(0o755)
    done = subprocess.run([sys.executable, root / "scripts/self_check.py", "-o", tmp_path / "out", "--build", tmp_path, "--only", "default"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "exit status 1" in done.stderr and "out of luck" in done.stderr and done.stderr.count("\n") == 1
