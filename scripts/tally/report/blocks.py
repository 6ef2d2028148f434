"""What a report is made of, for html_page and markdown to write each in its way."""

import dataclasses


@dataclasses.dataclass
class Heading:
    level: int
    text: str
    anchor: str = ""


@dataclasses.dataclass
class Text:
    text: str


@dataclasses.dataclass
class Alert:
    """What is wrong with one file, or with files together."""

    title: str
    lines: list


@dataclasses.dataclass
class Facts:
    pairs: list  # (what, value)


@dataclasses.dataclass
class Command:
    text: str


@dataclasses.dataclass
class Column:
    title: str
    numeric: bool = False


def texts(*titles):
    return [Column(title) for title in titles]


def numbers(*titles):
    return [Column(title, True) for title in titles]


@dataclasses.dataclass
class Value:
    """A cell of a table: `key` is what it is sorted by, where that is a number; `parts` its text in pieces, each of a model."""

    text: str
    key: float | None = None
    parts: list = dataclasses.field(default_factory=list)  # (text, model)


@dataclasses.dataclass
class Again:
    """How a figure's cell is called, and how it is measured again."""

    names: list
    command: str  # empty where the file does not say with which it was made


@dataclasses.dataclass
class TableRow:
    values: list  # of str or Value, one for each column
    stream: str
    model: str = ""
    again: Again | None = None


@dataclasses.dataclass
class Table:
    caption: str
    columns: list
    rows: list
    note: str = ""
    stream: str = ""  # of all rows, where no column says it


@dataclasses.dataclass
class Plots:
    sets: list  # of svg.PlotSet


@dataclasses.dataclass
class Section:
    """What is said of a file; `alert` is what is wrong with it, or None."""

    title: str
    alert: Alert | None
    blocks: list
