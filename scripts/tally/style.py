"""How Tally's figures look: one colour, marker and dash per model throughout, and numbers with units."""

import hashlib
import math

# Okabe & Ito, "Color Universal Design" (2008), with a grey and Paul Tol's wine. Without its yellow, which white paper swallows.
MODELS = {
    "limit": ("#000000", "X", (0, (1, 1.5))),
    "sequential": ("#7f7f7f", "s", (0, (5, 2))),
    "thread_pool": ("#0072B2", "o", "-"),
    "process_shard": ("#D55E00", "^", (0, (6, 1.5))),
    "tbb_flow_graph": ("#009E73", "D", (0, (4, 1.5, 1, 1.5))),
    "fibers": ("#CC79A7", "v", (0, (3, 1))),
    "coroutines": ("#E69F00", "P", (0, (8, 1.5, 1, 1.5))),
    "event_loop": ("#56B4E9", "h", (0, (2, 1))),
    "coroutines_asio": ("#882255", "p", (0, (10, 2))),
}
OTHER_COLOURS = ("#8C510A", "#5E3C99", "#4D9221", "#A6761D")
OTHER_MARKERS = ("8", "<", ">", "p", "*", "d")
OTHER_DASHES = ((0, (7, 2, 2, 2)), (0, (1, 1)), (0, (9, 3)))
BOUND_COLOUR = "#333333"
GRID_COLOUR = "#dddddd"
SLO_COLOUR = "#B2182B"
BAND_COLOUR = "#f2f2f2"

RC = {
    "svg.hashsalt": "tally",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID_COLOUR,
    "grid.linewidth": 0.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def look(model):
    """(colour, marker, dash) of a model; one that the table does not know gets its own by a hash of its name."""
    if model in MODELS:
        return MODELS[model]
    digest = hashlib.sha256(model.encode()).digest()
    return (
        OTHER_COLOURS[digest[0] % len(OTHER_COLOURS)],
        OTHER_MARKERS[digest[1] % len(OTHER_MARKERS)],
        OTHER_DASHES[digest[2] % len(OTHER_DASHES)],
    )


def in_order(models):
    """Models in the order in which they are shown: as in the table, then the others by name."""
    known = list(MODELS)
    return sorted(set(models), key=lambda model: (known.index(model) if model in known else len(known), model))


def digits(value, significant=3):
    """`value` with `significant` digits, without exponent for 0.001 to 1000, and without noughts that say nothing."""
    text = f"{value:.{significant}g}"
    if "e" in text:
        text = f"{value:.0f}"
    return text


def engineering(value, unit=""):
    """`value` with a prefix: 1.32e8 -> "132 M", 1e-6 and "s" -> "1 µs"."""
    if value == 0:
        return f"0 {unit}".strip()
    power = min(max(math.floor(math.log10(abs(value)) / 3 + 1e-9), -4), 4)
    # 999.7 k is 1000 k in 3 digits, which is 1 M.
    if float(f"{abs(value) / 1000**power:.3g}") >= 1000 and power < 4:
        power += 1
    prefix = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[power]
    return f"{digits(value / 1000**power)} {prefix}{unit}".strip()


def duration(seconds):
    """Seconds with three digits and a unit, in ASCII: 0.01234 -> "12.3 ms"."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def bytes_text(value):
    """`value` bytes with a binary prefix: 1572864 -> "1.5 MiB"."""
    for prefix in ("", "Ki", "Mi", "Gi"):
        if abs(value) < 1000:
            return f"{digits(value)} {prefix}B"
        value /= 1024
    return f"{digits(value)} TiB"


def param_text(key, value):
    """A parameter for people: ("grain", 1e-6) -> "grain 1 µs", ("in_flight", 100) -> "in-flight 100",
    ("rate", math.inf) -> "rate max", ("io_uring", 1) -> "io_uring"."""
    if key == "io_uring":
        return key
    return f"{key.replace('_', '-')} {value_text(key, value)}"


def params_text(params, keys):
    """Those of `params` that are among `keys`, for people. A cell that is not on io_uring has no such parameter: epoll."""
    return " · ".join("epoll" if key == "io_uring" and key not in params else param_text(key, params[key])
                      for key in keys if key in params or key == "io_uring")


def value_text(key, value):
    """A parameter's value for people, with its unit."""
    if key in ("grain", "wait"):
        return engineering(value, "s") if value else "0"
    if key == "rate":
        return "max" if math.isinf(value) else engineering(value)
    if math.isinf(value):
        return "auto"
    return f"{value:,.0f}" if value < 100_000 else engineering(value)


def spans_decades(values):
    """Whether positive `values` span more than 1.5 decades, and so are drawn on a log axis."""
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) / min(positive) > 10**1.5
