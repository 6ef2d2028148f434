#!/usr/bin/python3
"""Draws a result file of `tally run`, as SVG and PNG.

    scripts/plot.py RESULT.json -o DIR
    scripts/plot.py RESULT.json -o DIR --slo p99=5ms

Writes, for every stream in the file: throughput and CPU time per event by model, with 95% intervals and the bound;
throughput, efficiency and CPU time against every parameter that has two values or more; memory against in-flight and against
connections. Against connections, throughput is drawn at rate max alone: at a rate it is what was offered.

For ingest at a rate, latency from when events were to be sent: p50, p99 and p99.9 against the offered rate, with a line at the
latency that --slo, or else the file, asks for; and for each group of cells the whole spectrum of percentiles, beside the
uncorrected one, from when events were sent. Cells that fell behind the rate have no latency, and are marked as saturated.

Of several numbers of ranks (`tally-mpi run --scaling`): throughput against ranks, with the ideal and the law that is fitted to it,
and the share of merging.

Cells without figures are named under the figures and not drawn. The same file gives the same bytes.

Exit status: 0 drawn; 1 the file has no figure to draw, or DIR cannot be written (then no file in it was changed); 2 the command
line is wrong or the file is no result of `tally run`.
"""

import argparse
import io
import itertools
import math
import os
import re
import sys

try:
    import matplotlib

    from tally import charts
    from tally import latency_charts
    from tally import scaling_charts
except ImportError as problem:
    sys.exit(f"plot: {problem.name} is missing: apt-get install python3-matplotlib python3-numpy, and run with /usr/bin/python3")
from tally import results as results_
from tally import style
from tally.whole_files import write_whole

PNG_DPI = 160
NAMED_FAILURES = 8


def caption(results, stream):
    """Paragraphs that stand under every figure of `stream`: machine, suite, date, and what is not drawn."""
    context = results.context
    machine = results_.machine(context)
    run = f"result {context['result_id']}" if context.get("result_id") else None
    parts = (machine, results_.suite(context), context.get("date"), run)
    paragraphs = [" · ".join(str(part) for part in parts if part)]
    if context.get("interrupted"):
        paragraphs.append("Interrupted: what was finished is here.")
    paragraphs += [f"Note: {one_line(str(note), 200)}" for note in context.get("notes") or []]
    external = style.in_order(cell.model for cell in results.drawn(stream) if cell.external())
    if external:
        paragraphs.append(f"External programs: {', '.join(external)}.")
    failed = [cell for cell in results.cells if cell.failure and cell.stream == stream]
    if failed:
        named = "; ".join(f"{cell.name} ({one_line(cell.failure)})" for cell in failed[:NAMED_FAILURES])
        more = f"; and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
        paragraphs.append(f"Not drawn: {named}{more}.")
    return [escape(text) for text in paragraphs]


def one_line(text, longest=80):
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def escape(text):
    """A pair of dollars would be read as mathematics."""
    return text.replace("$", r"\$")


def draw(results, slo):
    """{file name: bytes} of all figures; `slo` is what is asked of latencies, or None."""
    files = {}

    def below(stream):
        return caption(results, stream)

    with matplotlib.rc_context(style.RC):
        every = itertools.chain(charts.figures(results, below), latency_charts.figures(results, below, slo),
                                scaling_charts.figures(results, below))
        for stem, figure in every:
            for kind, options in (("svg", {"metadata": {"Date": None, "Creator": None}}),
                                  ("png", {"dpi": PNG_DPI, "metadata": {"Software": None}})):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, **options)
                files[f"{stem}.{kind}"] = buffer.getvalue()
    return files


def parse_slo(text):
    """The Slo that is written so: p99=5ms."""
    fits = re.fullmatch(r"p(50|90|99|99\.9)=(\d+(?:\.\d+)?)(ns|us|ms|s)", text, re.ASCII)
    latency_s = float(fits[2]) * results_.SECONDS[fits[3]] if fits else 0
    if not 0 < latency_s < math.inf:
        raise argparse.ArgumentTypeError(
            f"'{text}': write a percentile (p50, p90, p99 or p99.9) and a duration (ns, us, ms, s), as in p99=5ms")
    return results_.Slo(float(fits[1]), latency_s)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="plot.py", description="Draws a result file of `tally run`, as SVG and PNG.")
    parser.add_argument("result", metavar="RESULT.json")
    parser.add_argument("-o", "--out", metavar="DIR", required=True, help="folder that the figures go to")
    parser.add_argument("--slo", metavar="PERCENTILE=DURATION", type=parse_slo,
                        help="the latency that is asked for at p50, p90, p99 or p99.9, such as p99=5ms: a line where latency is "
                        "drawn against the offered rate (default: the file's own, if it has one)")
    options = parser.parse_args(arguments)
    try:
        results = results_.load(options.result)
    except results_.NotTally as problem:
        print(f"plot: {problem}", file=sys.stderr)
        return 2
    if all(cell.failure for cell in results.cells):
        print(f"plot: {options.result}: no verified sample with a rate, so nothing to draw; the first cell: "
              f"{one_line(results.cells[0].failure)}", file=sys.stderr)
        return 1
    try:
        files = draw(results, options.slo or results_.slo(results.context))
        os.makedirs(options.out, exist_ok=True)
        write_whole({os.path.join(options.out, name): content for name, content in files.items()})
    except OSError as problem:
        print(f"plot: cannot write {options.out}: {problem.strerror}", file=sys.stderr)
        return 1
    print(f"{len(files)} files in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
