"""Figures of result files, what each must be, and the page that sets the two side by side. Nothing here measures.

A campaign of scripts/campaigns/judge.py has Targets, of which by_targets() makes its judge(), or makes its own Rows; either way a Judged.
"""

import dataclasses
import math

from tally import results

REPORTED = "reported"  # in place of what a figure must be: it is held against nothing
HEAD = ("result file", "figure", "must be", "measured, 95% interval", "")


class Missing(Exception):
    """A figure is not there, or could not be measured; str() says why."""


class CannotRun(Exception):
    """A campaign can be neither measured nor judged; str() is one line."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure as measured; `low` and `high` are its 95% interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None
    mark: str = ""  # why it is not the model's alone, if so: then the target is not met

    @classmethod
    def of(cls, interval, scale=1, absent="no such figure in the file"):
        """A results.Interval in units of 1 / scale. Raises Missing, with the text `absent`, where `interval` is None."""
        if interval is None:
            raise Missing(absent)
        return cls(interval.median * scale, interval.low and interval.low * scale, interval.high and interval.high * scale)

    @classmethod
    def of_values(cls, values, scale=1):
        """The median of `values` in units of 1 / scale. Raises Missing for no values."""
        return cls.of(results.median_interval(values) if values else None, scale)

    def text(self, unit="", spell="{:.3g}".format):
        """The figure with its interval and unit, each number as `spell` gives it."""
        ends = "" if self.low is None or self.high is None else f" [{spell(self.low)}, {spell(self.high)}]"
        return f"{spell(self.value)}{ends} {unit}".strip()


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure beside what it must be: one line of a page."""

    figure: str
    must: str  # or REPORTED
    measured: str  # with its interval; "none: why" where nothing was measured
    met: bool = True
    files: str = ""  # names of the result files it is from
    mark: str = ""

    @property
    def verdict(self):
        """met, NOT MET, or why the figure says nothing of the model; empty where it is reported alone."""
        if self.must == REPORTED:
            return ""
        return f"marked: {self.mark}" if self.mark else "met" if self.met else "NOT MET"

    @property
    def cells(self):
        """The cells of the line, under HEAD."""
        return self.files, self.figure, self.must, self.measured, self.verdict


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure of one or several result files and the bounds it must keep; without bounds it is reported."""

    files: str | tuple
    what: str
    figure: object  # a function of their Results; gives a Figure or raises Missing
    least: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def names(self):
        """Names of the result files."""
        return self.files if isinstance(self.files, tuple) else (self.files,)

    @property
    def must(self):
        """The bounds in words."""
        if self.least is None and self.most is None:
            return REPORTED
        if self.least is not None and self.most is not None:
            return f"{self.least} to {self.most} {self.unit}".strip()
        return f"{f'<= {self.most}' if self.least is None else f'>= {self.least}'} {self.unit}".strip()

    def row(self, found):
        """The Row of this target; `found` has the Results by name of file (ResultFiles)."""
        try:
            figure = self.figure(*(found[name] for name in self.names))
        except (Missing, results.NotTally) as problem:
            return self.row_of(f"none: {problem}", self.must == REPORTED)
        met = (self.least is None or figure.value >= self.least) and (self.most is None or figure.value <= self.most)
        return self.row_of(figure.text(self.unit), met and not figure.mark or self.must == REPORTED, figure.mark)

    def row_of(self, measured, met, mark=""):
        """The Row with this in place of what was measured."""
        return Row(self.what, self.must, measured, met, ", ".join(self.names), mark)


class ResultFiles(dict):
    """The Results of a folder by name of file, without .json or .json.xz; each is loaded when first asked for, which may raise NotTally."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, name):
        self[name] = results.load(results.find(self.folder, name))
        return self[name]


@dataclasses.dataclass
class Judged:
    """A campaign's page: what its result files say, beside what they must say."""

    parts: list  # of the page, in order: each is text, or a list of Rows
    title: str = "What the models must reach, and what was measured"
    made: str = "; each result file lies beside this one."  # what follows "Made by `COMMAND`"
    files: dict = dataclasses.field(default_factory=dict)  # name -> text of what is written beside the page
    data: object = None  # what the campaign's tables() are made of

    @property
    def rows(self):
        """All Rows of the page."""
        return [row for part in self.parts if isinstance(part, list) for row in part]

    def page(self, command):
        """The page as Markdown; `command` is what makes it."""
        parts = [rows_table(part) if isinstance(part, list) else part for part in self.parts]
        return "\n\n".join([f"# {self.title}", f"Made by `{command}`{self.made}", *filter(None, parts)]) + "\n"


def by_targets(targets):
    """The judge() of a campaign that has these Targets."""

    def judge(arguments):
        found = ResultFiles(arguments.out)
        rows = [target.row(found) for target in targets]
        machines = {f"{results.machine(file.context)}; {results.suite(file.context)}" for file in found.values()}
        return Judged([bullets(sorted(machines)), rows], data=found)

    return judge


def share(part, whole):
    """`0.5% [0.2%, 1.6%], 3 of 560`, with the 95% interval of Wilson (1927)."""
    if not whole:
        return "0 of 0"
    z = 1.96
    p = part / whole
    centre = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    reach = z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return f"{p:.1%} [{max(0, centre - reach):.1%}, {min(1, centre + reach):.1%}], {part} of {whole}"


def bullets(lines):
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def table(head, rows):
    """A Markdown table of cells that are text."""

    def line(cells):
        return "| " + " | ".join(cells) + " |"

    return "\n".join([line(head).replace("  ", " "), line(["---"] * len(head)), *map(line, rows)])


def rows_table(rows):
    """The table of Rows; without a column for result files where no Row names one."""
    first = 0 if any(row.files for row in rows) else 1
    return table(HEAD[first:], [row.cells[first:] for row in rows])


def with_tables(page, command, tables):
    """`page` with each of `tables`, by name, between the marks of the command that writes it. Raises ValueError where a mark is missing."""
    for name, text in tables.items():
        begin, end = f"<!-- {command}: {name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"the page has no table between '{begin.strip()}' and '{end}'")
        page = before + begin + text + "\n" + end + rest.partition(end)[2]
    return page


# What figures are made of: functions of Results that give a Figure.


def cell(found, model, **params):
    """The one cell of `model` with these parameters. Raises Missing where there is none, or more, or it failed."""
    fits = [c for c in found.cells if c.model == model and all(c.params.get(k) == v for k, v in params.items())]
    if len(fits) != 1:
        raise Missing(f"{len(fits)} cells of {model}")
    if fits[0].failure:
        raise Missing(fits[0].failure)
    return fits[0]


def only(model, **params):
    """cell() of Results that are not there yet."""
    return lambda found: cell(found, model, **params)


def of(metric, model, scale=1, **params):
    """The median of `metric` over the samples of a cell, in units of 1 / scale."""
    return lambda found: Figure.of(cell(found, model, **params).interval(metric), scale)


def over(one, other, metric=results.throughput):
    """The ratio of `metric` of two cells, each given by only(), round by round."""
    return lambda found: Figure.of(results.ratio_by_round(one(found).by_round(metric), other(found).by_round(metric)),
                                   absent="no common rounds")


def ratio(metric, model, base, **params):
    """The ratio of two models with the same parameters, round by round."""
    return over(only(model, **params), only(base, **params), metric)


def complete(model, **params):
    """1 if every sample of the cell was verified."""
    return lambda found: Figure(float(bool(cell(found, model, **params).samples)))


def failed_cells(*files):
    """Cells that failed: an event was lost, doubled or misplaced, or nothing was measured."""
    return Figure(float(sum(bool(each.failure) for found in files for each in found.cells)))


def memory_slope(model, parameter, few, many):
    """KiB of peak memory for each one more of a parameter."""

    def figure(found):
        slope = results.slope(*(cell(found, model, **{parameter: n}) for n in (few, many)), parameter, results.peak_memory)
        if slope is None:
            raise Missing("no peak memory in the file")
        return Figure(slope.median / 1024)

    return figure
