"""What tests do with result files."""

import hashlib
import json
import re

import pytest

NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*")


def signed(data):
    """`data` as a file with the ID of its content, as `tally run` makes it."""
    data["context"]["result_id"] = ""
    text = json.dumps(data, indent=2) + "\n"
    return text.replace('"result_id": ""', f'"result_id": "{hashlib.sha256(text.encode()).hexdigest()[:16]}"', 1)


def keep(data, wanted):
    """Keeps the samples that are `wanted`, without aggregates and noise floor, as if no others had been in their rounds."""
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_type"] == "iteration" and wanted(b)]
    data["context"].pop("noise_floor", None)
    data["context"].pop("unfit", None)
    rounds = {}
    for sample in sorted(data["benchmarks"], key=lambda b: (b["round"], b["order"])):
        sample["order"] = rounds[sample["round"]] = rounds.get(sample["round"], -1) + 1
    return data


def part(data, wanted):
    """Keeps the cells that are `wanted`, by their names, with aggregates and noise floor, as if no others had been in their rounds."""
    data["benchmarks"] = [b for b in data["benchmarks"] if wanted(b["run_name"])]
    rounds = {}
    samples = [b for b in data["benchmarks"] if b["run_type"] == "iteration"] + data["context"]["noise_floor"]["samples"]
    for sample in sorted(samples, key=lambda s: (s["round"], s["order"])):
        sample["order"] = rounds[sample["round"]] = rounds.get(sample["round"], -1) + 1
    return data


def scaled(text, factor, model="coroutines"):
    """The samples of the result, with one model so many times as fast."""
    data = json.loads(text)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_type"] == "iteration"]
    for entry in data["benchmarks"]:
        if entry["model"] == model:
            entry["items_per_second"] *= factor
            if "efficiency" in entry:
                entry["efficiency"] = entry["items_per_second"] / entry["bound_items_per_second"]
    return signed(data)


def same_but_for_digits(new, old):
    """That two pages say the same. Another machine's logarithms may end in another digit, and the search for a merge's costs elsewhere."""
    assert NUMBER.sub("#", new) == NUMBER.sub("#", old)
    for a, b in zip(NUMBER.findall(new), NUMBER.findall(old), strict=True):
        a, b = (float(text.replace(",", "")) for text in (a, b))
        assert a == pytest.approx(b, rel=0.05, abs=1.1), (a, b)
