"""Prints a result file of every shape that plots know. Every figure in it is invented, for layout alone. Always the same.

    /usr/bin/python3 tests/data/make_invented_result.py > invented.json
"""

import itertools
import json
import random
import sys

MODELS = ["limit", "sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines"]
SKILL = [1.0, 1.0, 0.93, 0.97, 0.55, 0.90, 0.95]
HAND_OFF_NS = [0.1, 0.0, 20, 1.0, 240, 9, 11]
MEMORY_PER_EVENT = [120, 0, 8400, 60000, 700, 9700, 300]
ROUNDS = 7

random.seed(20)
benchmarks = []


def add(name, rate, bound, cpu_s_per_event, memory):
    rates = []
    for round_ in range(ROUNDS):
        real = random.gauss(1, 0.015) * 0.2
        events = int(rate * 0.2)
        rates.append(events / real)
        benchmarks.append({
            "name": name, "run_name": name, "run_type": "iteration", "repetitions": ROUNDS,
            "repetition_index": round_, "threads": 1, "iterations": 1, "real_time": real * 1e9,
            "cpu_time": real * 1e9, "time_unit": "ns", "items_per_second": events / real, "events": events, "events_counted": events,
            "startup_s": 1e-4, "cpu_s": cpu_s_per_event * events * random.gauss(1, 0.01), "user_s": 0.1, "sys_s": 0.01,
            "peak_rss_bytes": memory * random.gauss(1, 0.003), "ctx_voluntary": 3, "ctx_involuntary": 1,
            "bound_items_per_second": bound, "efficiency": events / real / bound, "verified": True, "round": round_,
            "order": random.randrange(20), "started_s": round_ * 2.5})
    benchmarks.append({
        "name": f"{name}_median", "run_name": name, "run_type": "aggregate", "repetitions": ROUNDS, "threads": 1,
        "aggregate_name": "median", "aggregate_unit": "time", "iterations": ROUNDS, "real_time": 2e8, "cpu_time": 2e8,
        "time_unit": "ns", "items_per_second": sorted(rates)[ROUNDS // 2],
        "items_per_second_low": min(rates), "items_per_second_high": max(rates), "converged": max(rates) < 1.03 * rate,
        "analytic_bound_items_per_second": bound})


for (grain, batch), workers in itertools.product([(0, 1), (0, 256), (1000, 1), (1000, 256)], [1, 2]):
    for model, skill, hand_off in zip(MODELS, SKILL, HAND_OFF_NS):
        if model == "sequential" and workers == 2:
            continue
        name = f"cpu/{model}/workers:{workers}/grain_ns:{grain}/batch:{batch}"
        ceiling = workers / ((grain or 0.25) * 1e-9)
        per_event = ((grain or 0.25) + hand_off / batch) * 1e-9
        if model == "fibers" and grain == 1000 and batch == 1 and workers == 2:
            benchmarks.append({"name": name, "run_name": name, "run_type": "iteration", "repetition_index": 0,
                               "verified": False, "error_occurred": True,
                               "error_message": "wrong count: window 0 key 17: expected 1003, got 1002", "time_unit": "ns"})
            continue
        add(name, skill * workers / per_event, ceiling, per_event / skill, 9e6 + 4e5 * workers)

for in_flight in [1, 10, 100, 1000]:
    for model, skill, memory in zip(MODELS, SKILL, MEMORY_PER_EVENT):
        if model == "sequential" and in_flight != 1:
            continue
        ceiling = min(in_flight / 1e-3, 205e3)
        slow = 0.45 if model == "thread_pool" and in_flight == 1000 else skill
        add(f"lookup/{model}/workers:1/wait_us:1000/in_flight:{in_flight}", slow * ceiling, ceiling, 4.7e-6 / skill,
            8e6 + memory * in_flight)

context = {"date": "2020-01-02T03:04:05+00:00", "host_name": "invented", "num_cpus": 2, "cpu_model": "Invented CPU @ 2.00GHz",
           "kernel": "Linux 6.1.0 #1 SMP", "cpus_usable": [0, 1], "tally_tree": "clean", "result_id": "00112233aabbccdd",
           "notes": ["one CPU is shared by workers and service"], "json_schema_version": 2, "tally_version": "0.1.0", "tally_commit": "0123456789abcdef0123456789abcdef01234567",
           "note": "every figure in this file is invented, to test how it is drawn"}
json.dump({"context": context, "benchmarks": benchmarks}, sys.stdout, indent=1)
print()
