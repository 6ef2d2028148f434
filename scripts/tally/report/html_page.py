"""The report as one HTML page that asks nothing of any network: style, script and plots are in it."""

import html
import itertools
import pathlib
import re

from tally.report import blocks
from tally.report import svg
from tally import style

HERE = pathlib.Path(__file__).parent
# Text that the page's script can sort as it stands: a number without a prefix.
PLAIN = re.compile(r"±?[\d.,]+( ?[%=x]?| \[.*)$")
LONG = 32  # characters of a table's cell, from which on it has several lines
LEAST_SVG_UNITS = 0.85  # the width in pixels to which a map may shrink, for each of its own units
SVG_UNITS = 1.15  # the width in pixels to which a plot may grow, for each of its own units


def page(alerts, sections):
    """The page of these Alerts and Sections. Raises OSError if a part of it is missing."""
    template, css, script = ((HERE / name).read_text(encoding="utf-8") for name in ("report.html", "report.css", "report.js"))
    rows = [row for section in sections for block in section.blocks if isinstance(block, blocks.Table) for row in block.rows]
    models = style.in_order(row.model for row in rows if row.model)
    streams = dict.fromkeys(row.stream for row in rows if row.stream)
    ids = itertools.count(1)
    parts = {"<!--TITLE-->": escape("Tally: " + "; ".join(section.title for section in sections)),
             "/*CSS*/": css + svg.model_rules(models), "<!--ALERTS-->": alert_html(alerts), "<!--SWITCHES-->": switches(models),
             "<!--STREAMS-->": "".join(f"<option>{escape(stream)}</option>" for stream in streams),
             "<!--DEFINITIONS-->": svg.definitions(models),
             "<!--FILES-->": "".join(section_html(section, n, ids) for n, section in enumerate(sections, 1)), "/*SCRIPT*/": script}
    # All at once, so that nothing in a part is taken for a place.
    return re.sub("|".join(map(re.escape, parts)), lambda place: parts[place[0]], template)


def section_html(section, number, ids):
    said = "".join(block_html(block, ids) for block in section.blocks)
    return (f'<section aria-labelledby="file-{number}"><h2 id="file-{number}">{escape(section.title)}</h2>'
            f"{contents(section)}{said}</section>\n")


def escape(text):
    """`text` between tags."""
    return html.escape(str(text), quote=False)


def contents(section):
    """Links to the parts of a file."""
    links = "".join(f'<li><a href="#{block.anchor}">{escape(block.text)}</a></li>' for block in section.blocks
                    if isinstance(block, blocks.Heading))
    return f'<ul class="contents">{links}</ul>'


def alert_html(alerts):
    if not alerts:
        return ""
    parts = "".join(f"<h2>{escape(alert.title)}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in alert.lines)}</ul>" for alert in alerts)
    return f'<div class="alert" role="alert">{parts}</div>'


def switches(models):
    """A box to switch each model on and off, which is the key to colours and marks as well."""
    return "".join(f'<label><input type="checkbox" id="on-{svg.slug(model)}" checked autocomplete="off">{sample(model)}{escape(model)}</label>'
                   for model in models)


def sample(model):
    """A piece of a model's line, with its mark."""
    return (f'<svg class="sample" width="34" height="14" viewBox="0 0 34 14" aria-hidden="true"><g class="{svg.winner_class(model)}">'
            '<path class="l" d="M1 7H33"/><path class="k" d="M17 7h0"/></g></svg>')


def block_html(block, ids):
    match block:
        case blocks.Heading():
            return f'<h{block.level} id="{block.anchor}">{escape(block.text)}</h{block.level}>\n'
        case blocks.Text():
            return f"<p>{escape(block.text)}</p>\n"
        case blocks.Facts():
            return "<dl>" + "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in block.pairs) + "</dl>\n"
        case blocks.Command():
            return f"<pre><code>{escape(block.text)}</code></pre>\n"
        case blocks.Table():
            return table_html(block, ids)
        case blocks.Plots():
            return "".join(set_html(one, ids) for one in block.sets)
    raise TypeError(f"no block: {block!r}")


def set_html(plots, ids):
    figures = "".join(plot_html(plot, next(ids)) for plot in plots.plots)
    key = "".join(f"<li class={svg.model_class(model)}>{sample(model)}{escape(model)}</li>" for model in plots.key)
    note = f"{plots.same}. {plots.note}" if plots.same else plots.note
    return (f'<h4>{escape(plots.title)}</h4><p class="note">{escape(note)}</p>{f"<ul class=key>{key}</ul>" if key else ""}'
            f'<div class="plots" data-same="{html.escape(plots.same)}">{figures}</div>\n')


def plot_html(plot, number):
    width, height = svg.number(plot.width), svg.number(plot.height)
    style_ = f"max-width:{SVG_UNITS * plot.width:.0f}px" + (f";min-width:{LEAST_SVG_UNITS * plot.width:.0f}px" if plot.data else "")
    drawn = (f'<svg role="img" aria-labelledby="t{number} d{number}" viewBox="0 0 {width} {height}" style="{style_}">'
             f'<title id="t{number}">{escape(plot.title)}</title><desc id="d{number}">{escape(plot.description)}</desc>{plot.body}</svg>')
    if plot.data:  # a map, which may be wider than the window
        drawn = f'<div class="pan" role="region" tabindex="0" aria-label="Map, {html.escape(plot.title)}">{drawn}</div>'
    wide = "" if plot.width <= svg.WIDTH else "wide" if plot.width <= 2 * svg.WIDTH else "full"
    more = (f' data-map="{html.escape(plot.data)}"' if plot.data else "") + (f' class="{wide}"' if wide else "")
    return f'<figure data-stream="{html.escape(plot.stream)}"{more}><figcaption>{escape(plot.title)}</figcaption>{drawn}</figure>'


def table_html(table, ids):
    number = next(ids)
    head = "".join(f"<th scope=col>{escape(column.title)}</th>" for column in table.columns)
    # Which columns are numbers is said once, and not in each of thousands of cells.
    numeric = "".join(f" n{i}" for i, column in enumerate(table.columns, 1) if column.numeric)
    stream = f' data-stream="{html.escape(table.stream)}"' if table.stream else ""
    rows = "".join(row_html(row, table.columns, ids) for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (f'{note}<div class="scroll" role="region" tabindex="0" aria-labelledby="c{number}"><table class="sortable{numeric}"{stream}>'
            f'<caption id="c{number}">{escape(table.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\n')


def row_html(row, columns, ids):
    """A row. What a figure of it is called and how it is measured again is behind the last column's button."""
    cells = ""
    # A row is of its model, where it has one, and else of its group.
    header = next((i for i, column in enumerate(columns) if column.title == ("model" if row.model else "group")), 0)
    for i, value in enumerate(row.values):
        value = value if isinstance(value, blocks.Value) else blocks.Value(value)
        key = f" data-v={value.key:.4g}" if value.key is not None and not PLAIN.match(value.text) else ""
        said = ", ".join(f"<span class={svg.model_class(model)}>{escape(text)}</span>" for text, model in value.parts) or escape(value.text)
        wide = " class=w" if len(value.text) > LONG else ""
        cells += f"<th scope=row{wide}{key}>{said}</th>" if i == header else f"<td{wide}{key}>{said}</td>"
    again = f"<td>{again_html(row.again, next(ids))}</td>" if row.again else ""
    return f"<tr{f' class={svg.model_class(row.model)}' if row.model else ''}>{cells}{again}</tr>\n"


def again_html(again, number):
    """A button that shows what is behind a row, also without script; closed, it costs a browser nothing, as `details` would."""
    names = "".join(f"<samp>{escape(name)}</samp>" for name in again.names)
    command = f"<code>{escape(again.command)}</code>" if again.command else "The file does not say with which command it was made."
    return f"<button popovertarget=h{number}>how</button><div popover id=h{number}>{names}{command}</div>"
