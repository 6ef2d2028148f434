"""The campaign self_check: what it makes of raw data. That it measures is seen in results/self_check."""

import datetime
import json
import lzma
import subprocess
import sys

import pytest

from campaigns import self_check
from result_files import scaled, signed


def keep_raw(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(lzma.compress(text.encode(), preset=0))


def judged(rows, part):
    """(what was measured, whether it is met) of the row whose figure has this part."""
    (row,) = [row for row in rows if part in row.figure]
    return row.measured, row.met


def began(text, seconds):
    """The result as of so long after a certain time, when it took a minute."""
    data = json.loads(text)
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    data["context"].update(date=at.isoformat(), took_s=60.0)
    return signed(data)


def keep_chain(folder, first, slow, second, number=0):
    """The program, the program with a slowed model, and the program again, one right after the other."""
    for name, text, seconds in ((f"{2 * number:03}", first, 0), (f"{number:03}-slowed", slow, 61), (f"{2 * number + 1:03}", second, 122)):
        keep_raw(folder, f"{name}.json.xz", began(text, seconds + 1000 * number))


@pytest.mark.slow
def test_of_two_files_what_is_called_and_what_is_found_are_counted(tmp_path, reference):
    keep_chain(tmp_path, reference, scaled(reference, 1 / 1.1, self_check.slowed_in(0)), reference)
    keep_raw(tmp_path, "002.json.xz", began(reference, 183))
    rows = self_check.judge_files(tmp_path)
    assert judged(rows, "between: cells called faster or slower (2 x") == (self_check.share(0, 54), True)
    measured, _ = judged(rows, "10% slower")
    assert "of 8; ratio 0.909 in the median" in measured
    assert all("of 2" in judged(rows, part)[0] for part in ("with 1000 ns of work", "counting alone"))


@pytest.mark.slow
def test_files_between_which_time_went_by_are_no_pair(tmp_path, reference):
    keep_raw(tmp_path, "000.json.xz", began(reference, 0))
    keep_raw(tmp_path, "001.json.xz", began(reference, 5000))
    keep_raw(tmp_path, "000-slowed.json.xz", began(scaled(reference, 0.5, self_check.slowed_in(0)), 4939))
    keep_raw(tmp_path, "002.json.xz", began(reference, 5061))
    rows = self_check.judge_files(tmp_path)
    assert judged(rows, "between: cells called faster or slower (1 x 27 cells)")[1], "001 and 002"
    assert "of 4;" in judged(rows, "10% slower")[0], "the one after it, not the one before"


@pytest.mark.slow
def test_a_model_that_was_slowed_by_more_than_is_said_proves_nothing(tmp_path, reference):
    keep_chain(tmp_path, reference, scaled(reference, 0.5, self_check.slowed_in(0)), reference)
    measured, met = judged(self_check.judge_files(tmp_path), "10% slower")
    assert "8 of 8; ratio 0.500" in measured and not met


@pytest.mark.slow
def test_which_model_was_slowed_is_told_by_the_number_of_the_try(tmp_path, reference):
    keep_chain(tmp_path, reference, scaled(reference, 0.5, self_check.slowed_in(3)), reference, number=3)
    rows = self_check.judge_files(tmp_path)
    assert "8 of 8" in judged(rows, "10% slower")[0] and judged(rows, "beside it")[1]


@pytest.mark.slow
def test_calls_of_what_is_alike_fail_the_check(tmp_path, reference):
    keep_chain(tmp_path, reference, scaled(reference, 0.5, "coroutines"), scaled(reference, 0.5, "coroutines"))
    rows = self_check.judge_files(tmp_path)
    assert not judged(rows, "cells called faster or slower (1 x 27 cells)")[1]
    assert not judged(rows, "10% slower")[1], "thread_pool was not"


def test_raw_data_of_two_builds_is_refused(tmp_path, reference):
    data = json.loads(reference)
    data["context"]["binary_sha256"] = "0" * 64
    keep_chain(tmp_path, reference, reference, signed(data))
    with pytest.raises(self_check.CannotRun, match="two builds"):
        self_check.judge_files(tmp_path)


def test_one_call_a_comparison_is_too_many_however_many_cells_there_are():
    calls = self_check.Calls()
    alike = [{"ratio": 1.0, "verdict": "not separated"}] * 13
    for _ in range(40):
        calls.add([*alike, {"ratio": 0.9, "verdict": "slower"}])
    cells, comparisons = calls.rows("alike")
    assert not cells.met and not comparisons.met, "1 of 14 is more than 5%, and 40 of 40 than any chance"
    calls = self_check.Calls()
    for i in range(40):
        calls.add([*alike, *alike, {"ratio": 0.9, "verdict": "slower" if i < 10 else "not separated"}])
    cells, comparisons = calls.rows("alike")
    assert cells.met and not comparisons.met


def test_what_was_not_compared_was_not_found_alike():
    calls = self_check.Calls()
    calls.add([{"ratio": 1.0, "verdict": "not separated"}, {"ratio": None, "verdict": "not comparable"}])
    cells, _ = calls.rows("alike")
    assert not cells.met and "1 not compared" in cells.measured


def test_chance_is_that_of_the_binomial_distribution():
    assert [self_check.most_by_chance(n) for n in (1, 8, 20, 40, 100)] == [0, 2, 3, 4, 9]  # tables of binomial(n, 0.05)


def against(reference, factor, rounds=16):
    """The result as made with --against: of two cells, the other build's beside them; fibers `factor` times as fast here."""
    data = json.loads(reference)
    kept = []
    for model, times in (("sequential", 1.0), ("fibers", factor)):
        name = f"cpu/{model}/workers:{1 if model == 'sequential' else 2}/grain_ns:0/batch:256"
        sample = next(b for b in data["benchmarks"] if b["run_name"] == name and b["run_type"] == "iteration")
        for round_ in range(rounds):
            for suffix, rate in (("", times), ("/against:1", 1.0)):
                kept.append({**sample, "run_name": name + suffix, "round": round_, "order": len([k for k in kept if k["round"] == round_]),
                             "started_s": 10.0 * round_ + len([k for k in kept if k["round"] == round_]), "items_per_second": 1e6 * rate * (1 + 0.001 * (round_ % 3))})
                if "efficiency" in sample:
                    kept[-1]["bound_items_per_second"] = kept[-1]["items_per_second"] / sample["efficiency"]
    data["benchmarks"] = kept
    data["context"].pop("noise_floor")
    data["context"]["against"] = {key: data["context"][key] for key in ("tally_version", "tally_commit", "tally_tree", "binary_sha256", "build")}
    data["context"]["against"]["path"] = "tally"
    return signed(data)


def test_of_two_builds_in_one_campaign_calls_and_finds_are_counted(tmp_path, reference):
    keep_raw(tmp_path / "alike", "000.json.xz", against(reference, 1.0))
    assert [row.met for row in self_check.judge_same_against(tmp_path / "alike")] == [True, True]
    keep_raw(tmp_path / "alike", "001.json.xz", against(reference, 0.9))
    assert [row.met for row in self_check.judge_same_against(tmp_path / "alike")] == [False, True], "of two comparisons one by chance may"
    keep_raw(tmp_path / "slower", "000-fibers.json.xz", against(reference, 1 / 1.05))
    assert [row.met for row in self_check.judge_slower_against(tmp_path / "slower")] == [True, True]
    keep_raw(tmp_path / "slower", "001-fibers.json.xz", against(reference, 1.0))
    assert not self_check.judge_slower_against(tmp_path / "slower")[0].met


def test_a_default_campaign_with_wide_or_few_samples_is_not_within_five_percent(tmp_path, reference):
    keep_raw(tmp_path, "000.json.xz", reference)
    assert judged(self_check.judge_default(tmp_path), "its cells within 5%")[1]
    data = json.loads(reference)
    for b in data["benchmarks"]:
        if b.get("aggregate_name") == "median" and "lookup" in b["run_name"]:
            b["interval_coverage"] = 0.9
    keep_raw(tmp_path, "000.json.xz", signed(data))
    assert not judged(self_check.judge_default(tmp_path), "its cells within 5%")[1]


def test_coverage_is_of_the_first_campaigns_intervals(tmp_path, reference):
    keep_raw(tmp_path, "000-first.json.xz", reference)
    keep_raw(tmp_path, "000-long.json.xz", reference)
    row, reported = self_check.judge_coverage(tmp_path)
    assert "27 of 27" in row.measured and row.met and "27 of 27" in reported.measured
    keep_raw(tmp_path, "000-long.json.xz", scaled(scaled(reference, 2, "coroutines"), 2, "fibers"))
    row, _ = self_check.judge_coverage(tmp_path)
    assert "19 of 27" in row.measured and not row.met


def test_a_machine_that_changed_its_speed_between_two_campaigns_is_no_miss_of_the_first(tmp_path, reference):
    def context(links, speed):
        return self_check.results.Results({"grain_links_per_ns": links, "noise_floor": {"samples": [{"links_per_ns": speed}]}}, [])

    first, other = context(0.8, 0.8), context(0.7, 0.77)  # an eighth fewer links at a tenth more than was calibrated
    name = "cpu/fibers/workers:2/grain_ns:1000/batch:256"
    assert self_check.at_equal_speed(name, first, other) == pytest.approx(0.8 / 0.77 * 0.7 / 0.8)
    assert self_check.at_equal_speed(name.replace("1000", "0"), first, other) == pytest.approx(0.8 / 0.77)
    assert self_check.at_equal_speed("lookup/fibers/workers:1/wait_us:1000/in_flight:10", first, other) == 1


def test_default_campaigns_on_steady_and_unsteady_machines_are_told_apart_and_judged_together(tmp_path, reference):
    data = json.loads(reference)
    for i, sample in enumerate(data["context"]["noise_floor"]["samples"]):
        sample["read_bytes_per_s"] = 1e10 * (1 + i % 2)
    for b in data["benchmarks"]:
        if b.get("aggregate_name") == "median":
            b["relative_half_width"] = 0.2
    keep_raw(tmp_path, "000.json.xz", reference)
    keep_raw(tmp_path, "001.json.xz", signed(data))
    rows = self_check.judge_default(tmp_path)
    assert judged(rows, "its cells within 5%") == (self_check.share(27, 54), False), "no run is left out because its machine was unsteady"
    assert judged(rows, "of these, in the 1 runs")[0] == self_check.share(27, 27)
    assert judged(rows, "and in the 1 where they were not")[0] == self_check.share(0, 27)


def test_the_harness_costs_what_a_round_takes_beside_the_models_and_the_reference_computation():
    def entry(round_, started_s):
        return {"run_type": "iteration", "items_per_second": 1.0, "round": round_, "started_s": started_s, "startup_s": 0.25,
                "real_time": 500.0, "time_unit": "ms", "teardown_s": 0.25}

    reads = {"real_time_s": 0.25, "read_bytes_per_s": 4 * self_check.READ_BYTES}
    file = {"benchmarks": [entry(0, 10.0), entry(0, 11.5), entry(1, 20.0)],
            "context": {"cpus_usable": [0], "noise_floor": {"samples": [{"round": 0, "started_s": 12.75, **reads},
                                                                        {"round": 1, "started_s": 21.0, **reads}]}}}
    assert self_check.overheads(file) == [(10.0 - 2.0 - 0.5, 2.0, 2)]


def test_a_wrong_model_that_passes_fails_the_check(tmp_path, reference):
    data = json.loads(reference)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_type"] == "iteration" and b["model"] in ("fibers", "coroutines")]
    for b in data["benchmarks"]:
        b["run_name"] = b["run_name"].replace("/fibers/", "/right/").replace("/coroutines/", "/lost/")
    keep_raw(tmp_path, "wrong.json.xz", signed(data))
    (row,) = self_check.judge_wrong(tmp_path)
    assert not row.met and row.measured.startswith("0 of 4")


def test_a_share_has_the_interval_of_wilson():
    # 81 of 263 is an example in Newcombe, Statistics in Medicine 17 (1998).
    assert self_check.share(81, 263) == "30.8% [25.5%, 36.6%], 81 of 263"
    assert self_check.share(0, 20) == "0.0% [0.0%, 16.1%], 0 of 20"


@pytest.mark.parametrize("arguments, said", [(["--only", "speed"], "--only speed: choose from wrong-models, "), (["--judge"], "no raw data")])
def test_wrong_arguments_are_refused(root, tmp_path, arguments, said):
    done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", "self_check", "-o", tmp_path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr


def test_a_campaign_that_cannot_run_is_a_line(root, tmp_path):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/tally").write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    (tmp_path / "bench/tally").chmod(0o755)
    done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", "self_check", "-o", tmp_path / "out", "--build", tmp_path, "--only", "default"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "exit status 1" in done.stderr and "out of luck" in done.stderr and done.stderr.count("\n") == 1
