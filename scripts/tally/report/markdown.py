"""The report as Markdown, for a document or a pull request: its words and tables, without plots."""

from tally.report import blocks


def document(alerts, sections):
    """The text of these Alerts and Sections."""
    parts = ["# Tally"]
    for alert in alerts:
        parts.append("\n".join([f"> **{escape(alert.title)}**", ">", *(f"> - {escape(line)}" for line in alert.lines)]))
    for section in sections:
        parts += [f"## {escape(section.title)}", *(block_text(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def escape(text):
    """`text` on one line, with nothing that Markdown or a table in it would read as its own."""
    text = " ".join(str(text).split())
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, "\\" + mark)
    return text


def block_text(block):
    match block:
        case blocks.Heading():
            return f"{'#' * block.level} {escape(block.text)}"
        case blocks.Text():
            return escape(block.text)
        case blocks.Facts():
            return "\n".join(f"- {escape(what)}: {escape(value)}" for what, value in block.pairs)
        case blocks.Command():
            return f"```sh\n{block.text}\n```"
        case blocks.Table():
            return table_text(block)
        case blocks.Plots():
            return "In the HTML report:\n\n" + "\n".join(f"- {escape(one.title)}, {len(one.plots)} plot{'s' if len(one.plots) > 1 else ''}"
                                                        for one in block.sets)
    raise TypeError(f"no block: {block!r}")


def table_text(table):
    """The table; how to measure a row again is its cell's name, which the last column has."""
    columns = [column for column in table.columns if column.title != "run again"]
    named = len(columns) < len(table.columns)
    lines = ["| " + " | ".join(escape(column.title) for column in columns) + (" | cell |" if named else " |"),
             "|" + "|".join(" ---: " if column.numeric else " --- " for column in columns) + ("| --- |" if named else "|")]
    for row in table.rows:
        values = [escape(value.text if isinstance(value, blocks.Value) else value) for value in row.values]
        values += [", ".join(f"`{name}`" for name in row.again.names) if row.again else ""] if named else []
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join([f"**{escape(table.caption)}**", "", *lines, *(["", escape(table.note)] if table.note else [])])
