"""Scaling over ranks: the law that is fitted, and its plots."""

import json

import pytest

import plot
from tally import scaling


def test_constants_that_made_the_values_are_found():
    rows = [(1, x, x * x) for x in (1, 2, 3, 5, 8)]
    values = [2 + 0.5 * x + 0.25 * x * x for x in (1, 2, 3, 5, 8)]
    assert scaling.least_squares(rows, values) == pytest.approx([2, 0.5, 0.25])


def test_no_constant_is_below_nought():
    found = scaling.least_squares([(1, 1), (1, 2), (1, 4)], [4, 3, 2])
    assert (found >= 0).all() and found[1] == 0


def test_the_law_that_made_the_throughputs_is_found():
    law = scaling.Law(100.0, 0.05, 0.002)
    found = scaling.fit([(ranks, law.throughput(ranks)) for ranks in (1, 2, 4, 8, 16)])
    assert (found.alone, found.contention, found.coherence) == pytest.approx((100.0, 0.05, 0.002))


def test_with_two_numbers_of_ranks_all_that_is_lost_is_contention():
    found = scaling.fit([(1, 10.0), (2, 16.0)])
    assert found.coherence == 0 and found.throughput(2) == pytest.approx(16) and found.contention == pytest.approx(0.25)


def test_one_number_of_ranks_has_no_law():
    assert scaling.fit([(4, 1.0), (4, 2.0)]) is None


@pytest.fixture
def of_ranks():
    """A result of three numbers of ranks, of which two hosts."""
    entries = []
    for ranks, hosts in ((1, 1), (2, 1), (4, 2)):
        for model, alone in (("sequential", 1e9), ("thread_pool", 1.2e9)):
            name = f"cpu/{model}/workers:1/grain_ns:0/batch:256/ranks:{ranks}/hosts:{hosts}"
            for repetition in range(7):
                count, merge = 0.1 / ranks * (1 + repetition / 100), 0.002 * ranks
                entries.append({"name": name, "run_name": name, "run_type": "iteration", "repetition_index": repetition, "round": repetition,
                                "verified": True, "items_per_second": alone * 0.1 / (count + merge), "real_time": 1e3 * (count + merge),
                                "time_unit": "ms", "count_s": count, "merge_s": merge, "imbalance": 1.01, "ranks": ranks, "hosts": hosts})
    return {"context": {"factors": {"scaling": "strong"}, "date": "2026-01-01T00:00:00+00:00"}, "benchmarks": entries}


@pytest.mark.slow
def test_scaling_is_drawn_with_its_law_and_the_share_of_merging(of_ranks, tmp_path):
    file = tmp_path / "r.json"
    file.write_text(json.dumps(of_ranks))
    assert plot.main([str(file), "-o", str(tmp_path / "out")]) == 0
    drawn = (tmp_path / "out/cpu-scaling.svg").read_text()
    for said in ("Strong scaling over ranks", "share of merging", "fitted law", "ideal", "contention:"):
        assert said in drawn, said


def test_one_number_of_ranks_is_not_drawn_as_scaling(of_ranks, tmp_path):
    of_ranks["benchmarks"] = [entry for entry in of_ranks["benchmarks"] if entry["ranks"] == 2]
    file = tmp_path / "r.json"
    file.write_text(json.dumps(of_ranks))
    assert plot.main([str(file), "-o", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out/cpu-scaling.svg").exists()
