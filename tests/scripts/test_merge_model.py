"""The campaign merge_model: what it says of merges, and that docs/many-machines.md says the same."""

import json
import shutil
import subprocess
import sys

import pytest

from campaigns import merge_model
from result_files import same_but_for_digits
from tally import judging
from tally import style

MARK = "scripts/campaigns/judge.py merge_model"


def merge(off, fitted=True, **more):
    return {"path": "a.json", "name": "merge/x", "kind": "dense", "keys": 1000, "ranks": 2, "remote": True, "way_s": 1e-3, "ranks_per_cpu": 1,
            "measured_s": 2e-3, "low_s": 1.9e-3, "high_s": 2.1e-3, "predicted_s": 2e-3 * (1 + off), "off": off, "fitted": fitted, **more}


def said(merges):
    return {"merges": merges, "worst_off": max(abs(m["off"]) for m in merges), "typical_factor": 1.1,
            "costs": dict.fromkeys(merge_model.COSTS, 1e-6)}


def test_a_point_that_is_off_by_more_than_a_fifth_is_not_met():
    for off, verdict in ((0.19, "<= 20% | 19%; 2 of 2 points within 20% | met |"), (-0.21, "<= 20% | 21%; 1 of 2 points within 20% | NOT MET |")):
        text = merge_model.judged(said([merge(off), merge(0.05)]), said([merge(off), merge(0.3, fitted=False)])).page(MARK)
        assert f"| fitted to all points: the worst is off by | {verdict}" in text and f"{off:+.0%}" in text
        assert "| fitted without any delay, held against delays: the worst is off by | reported | 30%; 0 of 1 points within 20% |" in text


def test_tables_are_written_between_their_marks_and_nothing_else_changes():
    page = f"# A\n<!-- {MARK}: constants -->\nold\n<!-- end -->\nb\n<!-- {MARK}: passing -->\n<!-- end -->\nc\n"
    once = judging.with_tables(page, MARK, {"constants": "new", "passing": "more"})
    assert once == page.replace("old", "new").replace("passing -->\n", "passing -->\nmore\n")
    assert judging.with_tables(once, MARK, {"constants": "new", "passing": "more"}) == once
    with pytest.raises(ValueError):
        judging.with_tables(page, MARK, {"other": "new"})


def test_durations_have_three_digits_and_a_unit():
    assert [style.duration(s) for s in (2.5, 12.34e-3, 7e-6, 8.79e-9, 0)] == ["2.5 s", "12.3 ms", "7 us", "8.79 ns", "0 ns"]


@pytest.mark.slow
def test_the_page_on_scaling_says_what_the_measured_merges_say(root, program, tmp_path):
    folder = shutil.copytree(root / "results/merge_model", tmp_path / "merge_model")
    page = tmp_path / "scaling.md"
    shutil.copy(root / "docs/many-machines.md", page)
    done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", "merge_model", "-o", folder, "--judge", "--doc", page, "--tally",
                           program], capture_output=True, text=True)
    assert done.returncode in (0, 1) and "points within 20%" in done.stdout, done.stderr
    for made, kept in ((page, root / "docs/many-machines.md"), (folder / "merge_model.md", root / "results/merge_model/merge_model.md")):
        same_but_for_digits(made.read_text(), kept.read_text())
    assert json.loads((folder / "merge_model.json").read_text())["worst_off"] <= 1
