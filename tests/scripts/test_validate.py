"""scripts/validate.py and scripts/cite.py, on the reference result and on changed copies of it."""

import copy
import json
import re
import subprocess

import jsonschema
import pytest

from tally import results
import validate
from in_process import run_script
from result_files import keep, signed

CELL = "cpu/coroutines/workers:2/grain_ns:1000/batch:256"


@pytest.fixture
def run(tmp_path):
    """run(script, text, arguments…) on a file of this text."""

    def call(script, text, *arguments):
        path = tmp_path / "result.json"
        path.write_text(text, encoding="utf-8")
        return run_script(script, path, *arguments)

    return call


@pytest.fixture
def command(root):
    """Runs a script in a process of its own, on the reference result if nothing else is given."""

    def call(script, *arguments, file=root / "tests/data/older_result.json"):
        return subprocess.run([root / "scripts" / script, file, *arguments], capture_output=True, text=True, timeout=120)

    return call


def samples(data, name=CELL):
    return [b for b in data["benchmarks"] if b["run_name"] == name and b["run_type"] == "iteration"]


def median(data, name=CELL):
    return next(b for b in data["benchmarks"] if b["run_name"] == name and b.get("aggregate_name") == "median")


def test_the_reference_result_holds(command):
    done = command("validate.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "holds: 27 cells" in done.stdout


def test_a_group_of_it_holds(group):
    assert list(validate.broken(group)) == []


def test_a_changed_figure_is_seen_by_its_hash(run, group):
    rate = str(samples(json.loads(group))[0]["items_per_second"])
    assert group.count(rate) == 1
    done = run("validate.py", group.replace(rate, rate.replace("1", "2", 1)))
    assert done.returncode == 1 and "result_id: the file was changed" in done.stdout


def faster_median(data):
    median(data)["items_per_second"] *= 1.05


def narrower_interval(data):
    median(data)["items_per_second_low"] = median(data)["items_per_second"]


def another_ratio(data):
    median(data)["ratio_to_sequential"] *= 1.01


def called_converged(data):
    for place, sample in enumerate(samples(data)):
        sample["items_per_second"] *= 1 + 0.5 * (place % 2)


def not_verified(data):
    samples(data)[0]["verified"] = False


def figures_of_a_failed_cell(data):
    for key in [key for key in samples(data)[0] if key not in ("name", "run_name", "run_type", "repetition_index", "round", "order",
                                                              "stream", "model", "workers", "grain_ns", "batch", "events", "started_s")]:
        del samples(data)[0][key]
    samples(data)[0].update(verified=False, error_occurred=True, error_message="wrong count")


def lost_events(data):
    samples(data)[0]["events_counted"] -= 1


def fewer_workers(data):
    samples(data)[0]["workers_ran"] = 1


def twice_in_a_round(data):
    samples(data)[1]["round"] = samples(data)[0]["round"]


def in_another_order(data):
    samples(data)[0]["started_s"] += 1000


def too_short(data):
    samples(data)[0]["real_time"] = 9.9


def efficiency_of_another_bound(data):
    samples(data)[0]["efficiency"] *= 0.9


def no_reason(data):
    del samples(data)[0]["efficiency"]


def no_number(data):
    samples(data)[0]["cpu_s"] = float("nan")


def no_compiler(data):
    del data["context"]["build"]["compiler"]


def another_floor(data):
    data["context"]["noise_floor"]["median_s"] *= 1.01


def a_floor_that_is_kept_quiet(data):
    data["context"]["factors"]["ci"] = 0.001
    data["context"]["unfit"] = ""


def unsteady_memory_that_is_kept_quiet(data):
    floor = data["context"]["noise_floor"]
    for i, sample in enumerate(floor["samples"]):
        sample["read_bytes_per_s"] = 1e10 * (1 + i % 2)
    floor["read_relative_half_width"] = 1 / 3 if len(floor["samples"]) % 2 == 0 else 1.0
    data["context"]["unfit"] = ""


def modified_tree(data):
    data["context"]["tally_tree"] = "modified"


def serving(program, out, *arguments):
    """The text of the result of a campaign of the ingest stream, which lies at `out`."""
    done = subprocess.run([program, "run", "--stream", "ingest", "--model", "event_loop", "--workers", "1", "--connections", "2",
                           *arguments, "--no-progress", "--out", out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def served(program, tmp_path_factory):
    """The folder of a result of the ingest stream at a rate, and the result."""
    for _ in range(3):
        folder = tmp_path_factory.mktemp("served")
        rate = serving(program, folder / "rate.json", "--rate", "5k", "--events", "500", "--rounds", "6", "--hgrm", folder / "rate")
        if not summary_of_ingest(json.loads(rate)).get("saturated"):  # as on a machine that stalls, and then it has no latency
            break
    return folder, rate


def rules_broken(text):
    """The rules that a file breaks but for those of how its program was built, and how short its samples are."""
    return {rule for rule, _ in validate.broken(text)} - {"disclosure", "length", "floor"}


@pytest.mark.slow
@pytest.mark.xdist_group("served")
def test_results_of_serving_at_a_rate_hold(served):
    assert rules_broken(served[1]) == set()


@pytest.mark.slow
def test_results_of_a_search_for_a_rate_hold(program, tmp_path):
    # Probes last 2.5 samples, of which a search takes ten, and more where the machine is busy.
    slo = serving(program, tmp_path / "slo.json", "--slo", "p50=100ms", "--grain", "1us", "--rounds", "1", "--events", "1k",
                  "--benchmark_min_time=0.02s")
    assert rules_broken(slo) == set()
    search = json.loads(slo)["context"]["slo"]["searches"][0]
    assert search["cell"].endswith(f"/rate:{search['rate_per_s']:.0f}/grain_ns:1000")
    assert search["probes"][-1]["longer"] and search["probes"][-1]["kept"]


@pytest.mark.slow
@pytest.mark.xdist_group("served")
def test_a_cell_at_a_rate_is_cited_with_its_latency_and_no_ratio(run, served):
    data = json.loads(served[1])
    data["context"].update(tally_tree="clean")
    done = run("cite.py", signed(data), "--cell", "rate:5000")
    assert done.returncode == 0, done.stderr
    sentence = done.stdout.splitlines()[1]
    p99_ms = summary_of_ingest(data)["latency"]["p99_s"] * 1e3
    assert f"99% of 3,000 events (fewer than the percentile takes) were counted within {p99_ms:.3g} ms" in sentence
    assert " times " not in sentence and "not separated" not in sentence
    done = run("cite.py", signed(data), "--cell", "rate:5000", "--base", "limit")
    assert done.returncode == 1 and "has no figure of limit" in done.stderr
    summary = summary_of_ingest(data)
    del summary["latency"], summary["latency_uncorrected"]
    summary.update(saturated=True, latency_absent="saturated: the cell fell behind the rate that was offered")
    assert "it fell behind the rate that was offered" in run("cite.py", signed(data), "--cell", "rate:5000").stdout


def latency_of_another_histogram(data):
    summary_of_ingest(data)["latency"]["p99_s"] *= 1.1


def a_latency_is_lost(data):
    summary_of_ingest(data)["latency_uncorrected"]["histogram_ns"][0][1] -= 1


def enough_for_every_percentile(data):
    summary_of_ingest(data)["latency"]["too_few_for"] = []


def latencies_of_a_saturated_cell(data):
    summary_of_ingest(data)["saturated"] = True


def summary_of_ingest(data):
    return next(b for b in data["benchmarks"] if b.get("aggregate_name") == "median")


@pytest.mark.slow
@pytest.mark.xdist_group("served")
@pytest.mark.parametrize("change", [latency_of_another_histogram, a_latency_is_lost, enough_for_every_percentile, latencies_of_a_saturated_cell])
def test_latencies_that_are_not_those_of_the_histogram_are_named(served, change):
    data = json.loads(served[1])
    change(data)
    assert rules_broken(signed(data)) == {"latency"}


@pytest.mark.slow
@pytest.mark.xdist_group("served")
def test_percentiles_are_written_as_hdrhistogram_writes_them(served):
    folder, rate = served
    latency = next(b for b in json.loads(rate)["benchmarks"] if b.get("aggregate_name") == "median")["latency"]
    name = "ingest_event_loop_workers-1_connections-2_rate-5000"
    assert {path.name for path in (folder / "rate").iterdir()} == {f"{name}.hgrm", f"{name}.uncorrected.hgrm"}
    lines = (folder / "rate" / f"{name}.hgrm").read_text(encoding="ascii").splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in lines[2:] if line and not line.startswith("#")]
    assert int(rows[-1][2]) == latency["count"] == 3000
    assert float(rows[-1][0]) == pytest.approx(latency["max_s"] * 1e3, rel=1e-3, abs=1e-3), "milliseconds"


@pytest.mark.parametrize("change, rule", [
    (faster_median, "interval"), (narrower_interval, "interval"), (another_ratio, "ratio"), (called_converged, "interval"),
    (not_verified, "schema"), (figures_of_a_failed_cell, "verified"), (lost_events, "work"), (fewer_workers, "work"),
    (twice_in_a_round, "order"), (in_another_order, "order"), (too_short, "length"), (efficiency_of_another_bound, "bound"),
    (no_reason, "finite"), (no_number, "finite"), (no_compiler, "schema"), (modified_tree, "disclosure"),
    (another_floor, "floor"), (a_floor_that_is_kept_quiet, "floor"),
    (unsteady_memory_that_is_kept_quiet, "floor")])
def test_a_broken_rule_is_named(run, group, change, rule):
    data = json.loads(group)
    change(data)
    done = run("validate.py", signed(data))
    assert done.returncode == 1
    assert f"result.json: {rule}: " in done.stdout, done.stdout
    assert ": result_id: " not in done.stdout


def beside_another_build(reference, factor):
    """The result, with another build's samples of CELL that are `factor` times as fast, and what there is to say of the two."""
    data = json.loads(reference)
    twins = copy.deepcopy(samples(data))
    for twin in twins:
        twin["run_name"] += "/against:1"
        twin["items_per_second"] *= factor
    data["benchmarks"] += twins
    median(data).update(ratio_to_against=1 / factor, ratio_to_against_low=1 / factor, ratio_to_against_high=1 / factor,
                        ratio_to_against_confidence=0.95, verdict_against="slower" if factor > 1 else "faster")
    return data


@pytest.mark.parametrize("change, said", [
    ({}, None), ({"verdict_against": "not separated"}, "called not separated, and is slower"),
    ({"ratio_to_against_low": 0.4}, "its ratio to the other build"), ({"ratio_to_against_confidence": 0.9}, "is not corrected for 1 comparisons")])
def test_what_is_said_of_another_build_is_computed_again(group, change, said):
    data = beside_another_build(group, 2)
    median(data).update(change)
    found = [what for rule, what in validate.broken(signed(data)) if rule == "against"]
    assert (found == []) if said is None else (len(found) == 1 and said in found[0])


def rules_of(schema):
    """Every rule for the value of a key, anywhere in the schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).values()
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from rules_of(part)


def test_what_is_plainly_right_is_right_to_jsonschema():
    schema = json.loads(validate.SCHEMA.read_text(encoding="utf-8"))
    values = [0, 1, -1, 0.5, -0.5, 1.5, float("nan"), 2**70, "", "ms", "cpu", "iteration", "a" * 64, True, False, None, [], {}]
    plain = [(rule, value) for rule in rules_of(schema) for value in values if validate.plainly_right(value, rule)]
    assert len(plain) > 200
    for rule, value in plain:
        assert jsonschema.Draft7Validator({**rule, "definitions": schema["definitions"]}).is_valid(value), (rule, value)


@pytest.mark.parametrize("text", ["", "{", '{"context": {}, "benchmarks": ['])
def test_a_file_that_is_cut_off_is_refused_in_a_line(run, command, text):
    done = run("validate.py", text) if text else command("validate.py", file="/dev/null")
    assert done.returncode == 2 and "not JSON" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"context": {}}', '{"context": {}, "benchmarks": []}', '{"context": [], "benchmarks": {}}'])
def test_a_file_of_another_kind_breaks_the_schema(run, text):
    done = run("validate.py", text)
    assert done.returncode == 1 and "schema: " in done.stdout and "Traceback" not in done.stderr


# cite.py


def test_a_citation_has_all_that_a_citation_needs(command, reference):
    done = command("cite.py", "--cell", CELL)
    assert done.returncode == 0, done.stderr
    context = json.loads(reference)["context"]
    sentence = done.stdout.splitlines()[1]
    for part in (context["tally_version"], context["tally_commit"][:12], context["cpu_model"], "95% interval", "self-run",
                 context["result_id"], context["date"][:10], "coroutines", "sequential", "2 workers", "grain 1 us", "batch 256"):
        assert part in sentence, part
    assert f"git checkout {context['tally_commit']}" in done.stdout and "@misc{" in done.stdout and f"| {CELL} |" in done.stdout


def test_the_figure_that_is_cited_is_the_median_of_the_samples(run, group):
    data = json.loads(group)
    rates = sorted(s["items_per_second"] for s in samples(data))
    middle = (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2
    sentence = run("cite.py", group, "--cell", CELL).stdout.splitlines()[1]
    assert float(re.search(r"reached ([0-9.]+) M events/s", sentence)[1]) == float(f"{middle / 1e6:.3g}"), sentence
    assert f"median of {len(rates)} samples" in sentence


def test_what_cannot_be_told_apart_is_not_called_faster(run, group):
    data = json.loads(group)
    base = {s["round"]: s["items_per_second"] for s in samples(data, CELL.replace("coroutines", "fibers"))}
    kept = copy.deepcopy(data)
    kept["benchmarks"] = [b for b in kept["benchmarks"] if b["run_name"] != CELL or b["run_type"] != "iteration" or b["round"] in base]
    mine = samples(kept)
    for place, sample in enumerate(mine):
        sample["items_per_second"] = base[sample["round"]] * (1.01 if place % 2 else 0.99)
        sample["efficiency"] = sample["items_per_second"] / sample["bound_items_per_second"]
    kept["benchmarks"] = [b for b in kept["benchmarks"] if b["run_name"] != CELL or b["run_type"] == "iteration"]
    done = run("cite.py", signed(kept), "--cell", CELL, "--base", "fibers")
    assert "not separated from fibers" in done.stdout, done.stdout + done.stderr


def test_a_changed_result_is_not_cited(run, group):
    done = run("cite.py", group.replace('"interrupted": false', '"interrupted":  false', 1), "--cell", CELL)
    assert done.returncode == 1 and "was changed" in done.stderr and done.stdout == ""


def test_a_failed_cell_is_not_cited(run, group):
    data = json.loads(group)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_name"] != CELL or b["run_type"] == "iteration"]
    for sample in samples(data):
        for key in list(sample):
            if key not in ("name", "run_name", "run_type", "repetition_index", "round", "order", "stream", "model", "workers",
                           "grain_ns", "batch", "events", "started_s"):
                del sample[key]
        sample.update(verified=False, error_occurred=True, error_message="wrong count: key 17: expected 3, got 2")
    done = run("cite.py", signed(data), "--cell", CELL)
    assert done.returncode == 1 and "expected 3, got 2" in done.stderr and done.stdout == ""


def test_too_few_samples_are_not_cited(run, group):
    done = run("cite.py", signed(keep(json.loads(group), lambda b: b["round"] < 5)), "--cell", CELL)
    assert done.returncode == 1 and "has 5 samples" in done.stderr


@pytest.mark.parametrize("part, said", [("no/such", "no cell is called"), ("fibers", "cells are called")])
def test_a_cell_must_be_one(run, reference, part, said):
    done = run("cite.py", reference, "--cell", part)
    assert done.returncode == 1 and said in done.stderr


def test_what_is_claimed_is_never_narrower_than_the_noise_floor(group):
    data = json.loads(group)
    found = results.Interval(100.0, 99.5, 104.0, 10)
    data["context"]["noise_floor"]["relative_half_width"] = 0.02
    assert results.claimed(found, data["context"]) == results.Interval(100.0, 98.0, 104.0, 10)
    data["context"]["noise_floor"]["relative_half_width"] = 1.5
    assert results.claimed(found, data["context"]) == results.Interval(100.0, 0.0, 250.0, 10), "no rate is below 0"
    data["context"]["noise_floor"]["samples"] = data["context"]["noise_floor"]["samples"][:5]
    assert results.claimed(found, data["context"]) == found, "of five samples there is no floor"


def test_a_claim_that_the_floor_does_not_allow_is_seen(group):
    data = json.loads(group)
    median(data).update(claimed_low=median(data)["items_per_second_low"], claimed_high=median(data)["items_per_second_high"])
    data["context"]["noise_floor"]["relative_half_width"] = 0.5
    assert any(rule == "interval" and "claims" in what for rule, what in validate.broken(signed(data)))
