"""Parts of the report's plots: axes, marks and text as SVG. Colours, dashes and marks are classes, so that a model is switched
off, and light turned dark, in one place."""

import dataclasses
import html
import math
import re

from tally import style

WIDTH = 380  # of every plot, in the units of its own text's 11
# Marks by matplotlib's letters, which style has: paths about (0, 0).
SHAPES = {"o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "s": "M-3.6-3.6h7.2v7.2h-7.2z", "^": "M0-4.6L4.3 3.4h-8.6z",
          "v": "M0 4.6L4.3-3.4h-8.6z", "<": "M-4.6 0L3.4-4.3v8.6z", ">": "M4.6 0L-3.4-4.3v8.6z", "D": "M0-4.8L4.8 0 0 4.8-4.8 0z",
          "d": "M0-4.8L3 0 0 4.8-3 0z", "P": "M-1.6-4.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2v-2.9h-2.9v-3.2h2.9z",
          "X": "M-4.5-2.3L-2.3-4.5 0-2.2 2.3-4.5 4.5-2.3 2.2 0 4.5 2.3 2.3 4.5 0 2.2-2.3 4.5-4.5 2.3-2.2 0z",
          "h": "M0-4.7L4.1-2.3V2.3L0 4.7-4.1 2.3V-2.3z", "8": "M-1.9-4.5h3.8l2.6 2.6v3.8l-2.6 2.6h-3.8l-2.6-2.6v-3.8z",
          "p": "M0-4.6L4.4-1.4 2.7 3.8h-5.4L-4.4-1.4z",
          "*": "M0-5L1.3-1.7 4.8-1.5 2.1.7 3 4.1 0 2.2-3 4.1-2.1.7-4.8-1.5-1.3-1.7z"}
NEAR_BLACK = 0.179  # luminance under which white text on a colour has the greater contrast


@dataclasses.dataclass
class Plot:
    """A plot as the body of an `svg` element, with what a reader who does not see it is told."""

    title: str
    description: str
    body: str
    height: float
    stream: str
    data: str = ""  # JSON for the page's script
    width: float = WIDTH


@dataclasses.dataclass
class PlotSet:
    """Plots of one kind under a heading; `same` is what all of them share."""

    title: str
    same: str
    note: str
    plots: list
    key: list = dataclasses.field(default_factory=list)  # models that are told by colour, dash and mark alone


def slug(model):
    """The model in names of classes and elements."""
    return re.sub(r"[^a-z0-9_-]", "-", model.lower())


def model_class(model):
    """The class of all that is drawn or said of a model, which its switch hides."""
    return f"m-{slug(model)}"


def winner_class(model):
    """The class of what looks like the model and stays when it is switched off: the key, and a cell of the map, which it then loses."""
    return f"w-{slug(model)}"


def number(value):
    """A coordinate, with a tenth at most."""
    text_ = f"{value:.1f}"
    return text_[:-2] if text_.endswith(".0") else text_


def at(x, y):
    return f"{number(x)} {number(y)}"


def path(name, commands):
    # A page has tens of thousands of these: attributes that need no quotes have none.
    return f'<path class={name if " " not in name else repr(name)} d="{commands}"/>'


def text(x, y, what, name="s"):
    """Text that starts (s), ends (e) or has its middle (m) at a place; other classes may follow."""
    return f'<text class={name if " " not in name else repr(name)} x={number(x)} y={number(y)}>{html.escape(what, quote=False)}</text>'


def of_model(model, body):
    return f"<g class={model_class(model)}>{body}</g>"


def points(places):
    """A path that is nothing but places for marks."""
    return "".join(f"M{at(x, y)}h0" for x, y in places)


def polyline(places):
    """A path through `places`, broken where one is None."""
    commands, pen = "", "M"
    for place in places:
        if place is None:
            pen = "M"
        else:
            commands += pen + at(*place)
            pen = "L"
    return commands


def definitions(models):
    """The marks of all models, which the style refers to: for a figure, for one with a reservation, for one that fell behind."""
    shapes = ""
    for model in models:
        shape = SHAPES.get(style.look(model)[1], SHAPES["o"])
        for kind, drawn in (("full", shape), ("hollow", shape), ("behind", SHAPES["^"])):
            shapes += (f'<marker id="{kind}-{slug(model)}" class="{winner_class(model)}" viewBox="-6 -6 12 12" markerWidth="12" '
                       f'markerHeight="12" markerUnits="userSpaceOnUse"><path class="{kind}" d="{drawn}"/></marker>')
    ring = ('<marker id="ring" viewBox="-9 -9 18 18" markerWidth="18" markerHeight="18" markerUnits="userSpaceOnUse">'
            '<circle class="ring" r="7.5"/></marker>')
    hatch = ('<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
             '<path class="hatch" d="M0 0V7"/></pattern>')
    return f'<svg class="defs" width="0" height="0" aria-hidden="true"><defs>{shapes}{ring}{hatch}</defs></svg>'


def model_rules(models):
    """CSS: the look of every model, and that its switch hides all of it."""
    rules = []
    for model in models:
        name = slug(model)
        colour, _, dash = style.look(model)
        black = luminance(colour) < 0.02  # on black it is not seen
        shown = f"light-dark({colour},#ffffff)" if black else colour
        on = "light-dark(#ffffff,#000000)" if black else text_on(colour)
        dashes = "none" if dash == "-" else " ".join(number(1.6 * part) for part in dash[1])
        rules.append(f".m-{name},.w-{name}{{--m:{shown};--on:{on};--dash:{dashes};--full:url(#full-{name});--hollow:url(#hollow-{name});"
                     f"--behind:url(#behind-{name})}}\n:root:has(#on-{name}:not(:checked)) .m-{name}{{display:none}}")
    return "\n".join(rules)


def luminance(colour):
    """The relative luminance of #rrggbb, as WCAG defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_on(colour):
    """Black or white, whichever has the greater contrast on `colour`."""
    return "#ffffff" if luminance(colour) < NEAR_BLACK else "#000000"


# ---- axes ----


class Axis:
    """Where `values` lie between two coordinates: on a log axis where they span decades or `log` asks for it, else from 0.
    `unit` is what a step of the ticks is a nice number of."""

    def __init__(self, values, start, end, log=None, unit=1, margin=1.5):
        positive = [value for value in values if value > 0] or [1]
        self.start, self.end = start, end
        self.log = style.spans_decades(positive) if log is None else log
        self.low = min(positive) / margin if self.log else 0
        self.high = max(positive) * (margin if self.log else 1.06)
        self.unit = unit

    def at(self, value):
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return self.start + share * (self.end - self.start)

    def ticks(self, most=5):
        """Values to be written along the axis: nice numbers, so many of them at most."""
        if not self.log:
            high = self.high / self.unit
            power = 10.0 ** math.floor(math.log10(high / most))
            step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if int(high / (nice * power)) < most)
            return [step * i * self.unit for i in range(int(high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1,) if self.high / self.low > 100 else (1, 2, 5)
        found = [value for decade in decades for value in (s * 10.0**decade for s in steps) if self.low <= value <= self.high]
        return found[:: -(-len(found) // most)] or [self.low]


class ParameterAxis:
    """Where the measured values of a parameter lie. On a log axis, 0 stands one step left of the least."""

    def __init__(self, values, start, end, log=False):
        self.values = sorted(set(values))
        positive = [value for value in self.values if value > 0]
        wide = 0 in self.values and len(positive) > 1 and positive[-1] / positive[0] >= 10
        self.start, self.end = start, end
        self.log = bool(positive) and (log or wide or style.spans_decades(positive))
        self.zero = self.values[0] == 0
        if self.log:
            self.low, self.high = positive[0] / (3 if self.zero else 1.3), positive[-1] * 1.3
        else:
            least, most = self.values[0], self.values[-1]
            room = (most - least or most or 1) * 0.08
            self.low, self.high = least - room, most + room

    def at(self, value):
        if self.log:
            share = math.log(max(value, self.low * 1.1) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)
