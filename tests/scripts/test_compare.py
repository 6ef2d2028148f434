"""scripts/compare.py: verdicts on simulated campaigns with fixed seeds, and every refusal."""

import json
import lzma
import math
import random
import subprocess

import pytest

import compare
from in_process import run_script
from result_files import keep, scaled, signed

MODELS = ("sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "limit")
GROUPS = ("workers:2/grain_ns:0/batch:256", "workers:2/grain_ns:1000/batch:256")


def campaign(seed, rounds=20, noise=0.02, between=0.01, machine=0.02, slower=None, with_floor=True, heavy=False):
    """A file's cells as a machine might give them: noise in each sample, a shift of each cell and one of the whole machine from
    file to file, drift within the file. `slower` is (model, factor)."""
    draw = random.Random(seed)
    shift = draw.gauss(0, machine)
    drift = draw.gauss(0, machine / rounds)

    def sample(rate, round_):
        error = draw.gauss(0, noise)
        if heavy and draw.random() < 0.1:
            error -= draw.expovariate(1 / 0.2)
        return rate * math.exp(shift + drift * round_ + error)

    cells = {}
    for group in GROUPS:
        for model in MODELS:
            own = math.exp(draw.gauss(0, between)) * (slower[1] if slower and slower[0] == model else 1)
            cells[f"cpu/{model}/{group}"] = {r: sample(1e6 * own, r) for r in range(rounds)}
    floor = [{"real_time_s": 0.1 * 1e6 / sample(1e6, r)} for r in range(rounds)] if with_floor else []
    return compare.File(f"{seed}.json", {"tally_result_schema": 1, "noise_floor": {"samples": floor}}, True, cells, {}, {})


def called(old, new):
    return [row["cell"] for row in compare.compare(old, new) if row["verdict"] in ("faster", "slower")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, {"heavy": True}, {"with_floor": False}, {"machine": 0.1}, {"rounds": 10}, {"noise": 0.1}], ids=str)
def test_of_campaigns_that_differ_by_noise_alone_few_cells_are_called(kind):
    pairs = 60
    calls = sum(len(called(campaign(2 * i, **kind), campaign(2 * i + 1, **kind))) for i in range(pairs))
    assert calls <= 0.05 * pairs * len(MODELS) * len(GROUPS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, {"heavy": True}, {"with_floor": False}], ids=str)
def test_a_model_that_is_a_sixth_slower_is_found_and_no_other(kind):
    found = wrong = 0
    for i in range(40):
        calls = called(campaign(2 * i, **kind), campaign(2 * i + 1, slower=("fibers", 1 / 1.2), **kind))
        found += sum("/fibers/" in name for name in calls)
        wrong += sum("/fibers/" not in name for name in calls)
    assert found >= 0.9 * 40 * len(GROUPS)
    assert wrong <= 0.05 * 40 * len(GROUPS) * (len(MODELS) - 1)


def test_what_the_whole_machine_did_is_no_ones_merit():
    old, new = campaign(1, machine=0), campaign(2, machine=0)
    for name, rates in new.cells.items():
        new.cells[name] = {round_: 1.15 * rate for round_, rate in rates.items()}
    for sample in new.context["noise_floor"]["samples"]:
        sample["real_time_s"] /= 1.15
    assert called(old, new) == []
    for sample in new.context["noise_floor"]["samples"]:
        sample["real_time_s"] *= 1.15  # the machine did not change: then it is the cells
    assert len(called(old, new)) == len(new.cells)


def test_another_calibration_of_the_grain_is_no_ones_merit():
    old, new = campaign(1, machine=0), campaign(2, machine=0)
    for name, rates in new.cells.items():
        if "grain_ns:1000" in name:
            new.cells[name] = {round_: 1.15 * rate for round_, rate in rates.items()}
    old.context["grain_links_per_ns"], new.context["grain_links_per_ns"] = 0.84, 0.84 / 1.15
    rows = {row["cell"]: row for row in compare.compare(old, new)}
    assert all(row["verdict"] == "not separated" for row in rows.values())
    assert rows[CELL]["ratio"] == pytest.approx(1, abs=0.05), "of the same work"


def test_what_all_of_a_group_did_is_put_down_to_the_machine_as_far_as_the_reference_computation_did_it_too():
    for common, reference, expected in [
            (0.05, (0.06, 0.0), (0.05, 0.05)),  # explained
            (0.05, (0.02, 0.0), (0.02, 0.02)),  # and no more allowed
            (0.05, (0.02, 0.01), (0.02, 0.05)),  # explained in part, the rest may be
            (0.05, (-0.02, 0.01), (0.0, 0.05)),
            (-0.05, (-0.06, 0.0), (-0.05, -0.05)),
            (-0.20, (0.0, 0.01), (-0.03, 0.0)),
            (0.05, None, (0.0, 0.05)),
            (None, (-0.02, 0.01), (-0.02, 0.02))]:
        assert compare.put_down_to_machine(common, reference, 3) == pytest.approx(expected), (common, reference)


# Files

CELL = "cpu/coroutines/workers:2/grain_ns:1000/batch:256"


@pytest.fixture
def run(tmp_path):
    """run(old text, new text, arguments…)"""

    def call(old, new, *arguments):
        for name, text in (("old.json", old), ("new.json", new)):
            (tmp_path / name).write_text(text, encoding="utf-8")
        return run_script("compare.py", tmp_path / "old.json", tmp_path / "new.json", *arguments)

    return call


@pytest.fixture
def command(root, tmp_path):
    """Runs `scripts/compare.py` in the test's folder, in a process of its own."""

    def call(*arguments):
        return subprocess.run([root / "scripts/compare.py", *arguments], capture_output=True, text=True, timeout=120, cwd=tmp_path)

    return call


def test_a_file_and_itself_are_not_separated(command, root):
    path = root / "tests/data/older_result.json"
    done = command(path, path, "--json", "--fail-on", "slower")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said["cells"]) == 27 and said["differences"] == []
    for cell in said["cells"]:
        assert cell["ratio"] == 1 and cell["low"] <= 1 <= cell["high"] and cell["verdict"] == "not separated"


def test_fail_on_is_for_cells_that_are_slower_by_more_than_so_much(run, group):
    half = scaled(group, 0.5)
    assert run(group, half, "--fail-on", "slower").returncode == 1
    assert run(group, half, "--fail-on", "slower:40").returncode == 1
    assert run(group, half, "--fail-on", "slower:60").returncode == 0
    assert run(group, half).returncode == 0
    assert run(half, group, "--fail-on", "slower").returncode == 0
    assert run(group, half, "--fail-on", "faster").returncode == 2


def test_the_ratio_is_new_over_old(run, group):
    cells = {c["cell"]: c for c in json.loads(run(group, scaled(group, 2), "--json").stdout)["cells"]}
    assert cells[CELL]["ratio"] == pytest.approx(2) and cells[CELL]["verdict"] == "faster"
    assert cells[CELL.replace("coroutines", "fibers")]["verdict"] == "not separated"


def test_differences_of_machine_and_build_come_first(run, group):
    data = json.loads(group)
    data["context"]["kernel"] = "Linux 9.9"
    data["context"]["build"]["compiler"] = "Another 1.0"
    data["context"]["build"]["libraries"]["onetbb"] = "2030.1"
    said = run(group, signed(data)).stdout
    before = said[:said.index("ratio")]
    for part in "kernel", "Linux 9.9", "build compiler", "Another 1.0", "library onetbb", "2030.1":
        assert part in before, before


@pytest.mark.parametrize("change, said", [
    (lambda d: d["context"]["factors"].update(keys=5000), "differs in keys 1000 and 5000"),
    (lambda d: d["context"]["factors"].update(seed=7), "differs in seed 1 and 7"),
    (lambda d: d["context"]["factors"].update(wait_distribution="fixed"), "wait_distribution exponential and fixed"),
    (lambda d: d["context"]["factors"].update(idle="poll"), "differs in idle halt and poll"),
    (lambda d: [b.update(events=b["events"] * 3, events_counted=b["events"] * 3) for b in d["benchmarks"] if b["run_name"] == CELL
                and b["run_type"] == "iteration"], "differs in events a sample"),
    (lambda d: keep(d, lambda b: b["round"] < 5), "5 samples in")])
def test_what_is_not_alike_is_not_compared_and_the_factor_named(run, group, change, said):
    data = json.loads(group)
    change(data)
    done = run(group, signed(data))
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(CELL))
    assert "not comparable: " in line and said in line


@pytest.mark.parametrize("spoil, said", [
    (lambda text: text[:len(text) // 2], "not JSON, perhaps cut off"),
    (lambda text: text.replace('"rounds": 33', '"rounds": 34', 1) if '"rounds": 33' in text else text.replace('"interrupted": false', '"interrupted": true', 1),
     "the file was changed"),
    (lambda text: signed(keep(json.loads(text), lambda b: False)), "no samples"),
    (lambda text: "[]", "no result of Tally or Google Benchmark")])
def test_a_file_that_is_broken_is_refused_in_a_line_that_says_which(run, group, spoil, said):
    done = run(group, spoil(group))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "new.json" in done.stderr and said in done.stderr, done.stderr


def test_files_of_google_benchmark_are_compared_by_what_they_hold(run):
    def plain(time):
        return json.dumps({"context": {"num_cpus": 2}, "benchmarks": [
            {"name": "BM_Sort/1000", "run_name": "BM_Sort/1000", "run_type": "iteration", "repetition_index": i, "iterations": 10,
             "real_time": time * (1 + 0.001 * (i % 3)), "cpu_time": time, "time_unit": "us"} for i in range(10)]})

    done = run(plain(100.0), plain(100.2))
    assert done.returncode == 0 and "not separated" in done.stdout
    assert "no manifest, no hash and no verification" in done.stdout and "no noise floor" in done.stdout


def test_a_failed_cell_is_not_compared():
    context = {"tally_result_schema": 1}
    old = compare.File("old.json", context, True, {CELL: dict.fromkeys(range(10), 1.0)}, {}, {})
    new = compare.File("new.json", context, True, {}, {CELL: "wrong count"}, {})
    (row,) = compare.compare(old, new)
    assert row["verdict"] == "not comparable" and "wrong count" in row["why"] and row["ratio"] is None


# Two builds in one campaign


def builds(rounds, factor, seed=1, noise=0.02):
    """A file made with --against: 12 pairs of which the last is `factor` times as fast in this build; the machine changes its speed
    from round to round by half."""
    draw = random.Random(seed)
    speed = {r: math.exp(draw.gauss(0, 0.3)) for r in range(rounds)}
    cells = {}
    for i in range(12):
        for suffix, rate in (("", factor if i == 11 else 1.0), ("/against:1", 1.0)):
            cells[f"cpu/model_{i}/workers:1{suffix}"] = {r: 1e6 * rate * speed[r] * math.exp(draw.gauss(0, noise)) for r in range(rounds)}
    return compare.File("r.json", {}, True, cells, {}, {})


@pytest.mark.slow
def test_of_two_builds_that_are_alike_few_cells_are_called():
    calls = sum(row["verdict"] in ("faster", "slower") for seed in range(100) for row in compare.compare_builds(builds(20, 1.0, seed)))
    assert calls <= 0.05 * 100, "of a hundred campaigns one in twenty may call a cell"


def test_a_build_that_is_slower_is_found_however_the_machine_behaves():
    rows = [compare.compare_builds(builds(20, 0.9, seed))[-1] for seed in range(40)]
    assert sum(row["verdict"] == "slower" for row in rows) >= 38
    assert sum(row["low"] <= 0.9 <= row["high"] for row in rows) >= 38


def test_the_ratio_is_within_its_interval_whatever_the_machine_did():
    for seed in range(10):
        for row in compare.compare(campaign(2 * seed, machine=0.1), campaign(2 * seed + 1, machine=0.1)):
            assert row["low"] <= row["ratio"] <= row["high"]


def test_where_counting_alone_slowed_with_the_memory_it_is_the_memory():
    old, new = campaign(1, machine=0), campaign(2, machine=0)
    for file, speed in ((old, 40e9), (new, 34e9)):
        for sample in file.context["noise_floor"]["samples"]:
            sample["read_bytes_per_s"] = speed * sample["real_time_s"] / 0.1
    for name, rates in new.cells.items():
        if "grain_ns:0" in name:
            new.cells[name] = {round_: 0.85 * rate for round_, rate in rates.items()}
    assert called(old, new) == []


def test_too_few_rounds_for_so_many_pairs_are_no_comparison():
    (*_, row) = compare.compare_builds(builds(8, 0.5))
    assert row["verdict"] == "not comparable" and "8 rounds are too few for an interval of 99.58%" in row["why"]


def test_a_pair_of_which_one_failed_is_no_comparison():
    file = builds(20, 0.5)
    del file.cells["cpu/model_11/workers:1/against:1"]
    file.failures["cpu/model_11/workers:1/against:1"] = "lost an event"
    (*_, row) = compare.compare_builds(file)
    assert row["verdict"] == "not comparable" and "lost an event" in row["why"]
    assert not compare.fails([row | {"failed": False, "ratio": 1.0}], "slower")


def test_a_gate_is_not_passed_by_what_failed_or_was_not_compared():
    row = {"cell": CELL, "ratio": None, "low": None, "high": None, "verdict": "not comparable", "why": "failed", "failed": True}
    good = {"cell": CELL, "ratio": 1.0, "low": 0.9, "high": 1.1, "verdict": "not separated", "why": ""}
    assert "1 failed" in compare.fails([good, row], "slower")
    assert compare.fails([row | {"failed": False}], "slower") == "no cell could be compared"
    assert compare.fails([good, row | {"failed": False}], "slower") == ""


def test_a_file_of_one_build_alone_needs_another(command, root):
    done = command(root / "tests/data/older_result.json")
    assert done.returncode == 2 and "no other build was measured in it" in done.stderr and done.stderr.count("\n") == 1


def test_files_compressed_by_xz_are_read(group, tmp_path):
    # Little of it, since compressing takes longer than comparing.
    packed = lzma.compress(signed(keep(json.loads(group), lambda b: b["run_name"] == CELL)).encode(), preset=0)
    (tmp_path / "old.json.xz").write_bytes(packed)
    (tmp_path / "cut.json.xz").write_bytes(packed[:-100])
    assert run_script("compare.py", tmp_path / "old.json.xz", tmp_path / "old.json.xz").returncode == 0
    cut = run_script("compare.py", tmp_path / "old.json.xz", tmp_path / "cut.json.xz")
    assert cut.returncode == 2 and "cut.json.xz: not JSON, perhaps cut off" in cut.stderr
