#!/usr/bin/python3
"""Draws a result file of `tally run`, as SVG and PNG.

    scripts/plot.py RESULT.json -o DIR

Writes, for every stream in the file: throughput and CPU time per event by model, with 95% intervals and the bound;
throughput, efficiency and CPU time against every parameter that has two values or more; memory against in-flight.
Cells without figures are named under the figures and not drawn. The same file gives the same bytes.

Exit status: 0 drawn; 1 the file holds nothing that can be drawn, or DIR cannot be written (then no file in it was changed);
2 the command line is wrong.
"""

import argparse
import io
import os
import sys
import tempfile

try:
    import matplotlib

    import tally_figures
except ImportError as problem:
    sys.exit(f"plot: {problem.name} is missing: apt-get install python3-matplotlib python3-numpy, and run with /usr/bin/python3")
import tally_results
import tally_style

PNG_DPI = 160
NAMED_FAILURES = 8


def caption(results, stream):
    """Paragraphs that stand under every figure of `stream`: machine, suite, date, and what is not drawn."""
    context = results.context
    machine = tally_results.machine(context)
    run = f"result {context['result_id']}" if context.get("result_id") else None
    parts = (machine, tally_results.suite(context), context.get("date"), run)
    paragraphs = [" · ".join(str(part) for part in parts if part)]
    if context.get("interrupted"):
        paragraphs.append("Interrupted: what was finished is here.")
    paragraphs += [f"Note: {one_line(str(note), 200)}" for note in context.get("notes") or []]
    if any(not cell.converged for cell in results.drawn(stream)):
        paragraphs.append("Hollow marks: the interval did not get as narrow as was asked for.")
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


def draw(results):
    """{file name: bytes} of all figures."""
    files = {}
    with matplotlib.rc_context(tally_style.RC):
        for stem, figure in tally_figures.figures(results, lambda stream: caption(results, stream)):
            for kind, options in (("svg", {"metadata": {"Date": None, "Creator": None}}),
                                  ("png", {"dpi": PNG_DPI, "metadata": {"Software": None}})):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, **options)
                files[f"{stem}.{kind}"] = buffer.getvalue()
    return files


def write_all(files, folder):
    """Writes all files, or none: each is on disk under another name before the first gets its own. Raises OSError."""
    os.makedirs(folder, exist_ok=True)
    waiting = []
    try:
        for name, content in files.items():
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            waiting.append((temporary, os.path.join(folder, name)))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
        while waiting:
            os.replace(*waiting[0])
            del waiting[0]
    finally:
        for temporary, _ in waiting:
            os.unlink(temporary)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="plot.py", description="Draws a result file of `tally run`, as SVG and PNG.")
    parser.add_argument("result", metavar="RESULT.json")
    parser.add_argument("-o", "--out", metavar="DIR", required=True, help="folder that the figures go to")
    options = parser.parse_args(arguments)
    try:
        results = tally_results.load(options.result)
        if all(cell.failure for cell in results.cells):
            raise tally_results.NotTally(
                f"{options.result}: no verified sample with a rate, so nothing to draw; the first cell: "
                f"{one_line(results.cells[0].failure)}")
        files = draw(results)
        write_all(files, options.out)
    except tally_results.NotTally as problem:
        print(f"plot: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"plot: cannot write {options.out}: {problem.strerror}", file=sys.stderr)
        return 1
    print(f"{len(files)} files in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
