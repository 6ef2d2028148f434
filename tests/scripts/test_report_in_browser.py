"""The page of scripts/report.py in a browser: what can be switched, sorted and filtered, without script too, and accessibility."""

import contextlib
import itertools
import json
import os

import pytest
from test_report import grid, page_of, rated, written

import browser

pytestmark = pytest.mark.browser

MODEL = "fibers"  # the one that is switched off and on
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 26)"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """The browser, one for all tests."""
    if browser.missing():
        pytest.fail(browser.missing(), pytrace=False)
    with contextlib.closing(browser.Browser(tmp_path_factory.mktemp("chromium"))) as opened:
        yield opened


@pytest.fixture(scope="session")
def everything(reference, invented_text, tmp_path_factory):
    """A page with every kind of content and little more: latencies, a file of which a cell failed, a map, and a campaign."""

    def part(text, models, *cells):
        data = json.loads(text)
        data["benchmarks"] = [entry for entry in data["benchmarks"] if entry["run_name"].split("/")[1] in models and
                              any(cell in entry["run_name"] for cell in cells)]
        return data

    made = written(tmp_path_factory.mktemp("report"), rated(slo={"percentile": 99.0, "latency_s": 0.005, "searches": []}),
                   part(invented_text, ["limit", "process_shard", MODEL], "/workers:2/grain_ns:1000/"),
                   # One of the map's four groups has no winner.
                   grid(reference, (1,), (0, 1000), (100, 1000), (10,), models=[MODEL, "coroutines", "thread_pool"]),
                   part(reference, ["sequential", "coroutines", MODEL], "/workers:2/grain_ns:1000/", "/in_flight:100", "lookup/sequential/"))
    assert page_of(made)
    return made[1]


@pytest.fixture(scope="session")
def opened(chromium, everything):
    """opened(scheme=…, width=…, script=…) opens that page until the end of a `with`."""

    @contextlib.contextmanager
    def go(**how):
        with chromium.page(everything, **how) as page:
            # What is out of sight is not laid out, and so not counted.
            page.run("const style = document.createElement('style');"
                     "style.textContent = 'figure, .scroll { content-visibility: visible !important; }'; document.head.append(style);")
            yield page

    return go


@pytest.fixture(scope="session")
def axe(root):
    """The source of axe-core, which has the rules of accessibility. No Debian package has it, so it may be missing, but not in CI."""
    source = root / "tests/report/node_modules/axe-core/axe.min.js"
    if source.is_file():
        return source.read_text(encoding="utf-8")
    reason = "axe-core is missing, so accessibility is not tested: run `npm ci` in tests/report"
    return pytest.fail(reason, pytrace=False) if os.environ.get("TALLY_CI") == "1" else pytest.skip(reason)


def shown(page, selector):
    """Whether the first of these elements has a place on the page and is not hidden."""
    return page.run("""
        const element = document.querySelector(arguments[0]);
        return element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;""", selector)


def counted(page):
    """Numbers of elements that have a place on the page: of the model, of all models, rows, plots and cells of the map."""
    return page.run("""
        const [name] = arguments, placed = (element) => element.getClientRects().length > 0;
        const all = (selector) => [...document.querySelectorAll(selector)].filter(placed).length;
        return { drawn: all(`svg[role=img] .m-${name}`), rows: all(`tr.m-${name}`), others: all("svg[role=img] [class^=m-]"),
                 plots: all("figure"), every: all("tbody tr"), won: all(`.cell.w-${name}`), map: all(".cell") };""", MODEL)


def column(page, title):
    """How the last table is sorted by this column, and what is in it."""
    return page.run("""
        const table = [...document.querySelectorAll("table")].at(-1);
        const header = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === arguments[0]);
        return [header.getAttribute("aria-sort"), [...table.tBodies[0].rows].map((row) => row.cells[header.cellIndex].textContent)];""", title)


def background(page):
    return page.run("return getComputedStyle(document.documentElement).backgroundColor;")


def said(page):
    return page.find("#shown").text


def test_errors_and_requests_of_a_page_are_noted(chromium, tmp_path):
    (tmp_path / "page.html").write_text("<!doctype html><title>page</title><img src='none.png'><script>console.warn('beware'); "
                                        "console.error('wrong'); console.log('well'); throw new Error('thrown');</script>")
    with chromium.page(tmp_path / "page.html") as page:
        noted = page.noted()
        assert page.noted() == []
    assert [sum(part in note for note in noted) for part in ("beware", "wrong", "thrown", "well")] == [1, 1, 1, 0], noted
    assert [note for note in noted if note.startswith("request: ")] == [f"request: {(tmp_path / 'none.png').as_uri()}"]


def test_a_page_opens_without_an_error_or_a_request(opened):
    with opened() as page:
        assert page.noted() == []


@pytest.fixture(scope="session")
def switched(opened):
    """What is to be seen at first, with the model switched off, and with it on again."""
    with opened() as page:
        seen = [counted(page)]
        for on in (False, True):
            page.switch(f"#on-{MODEL}", on)
            seen.append(counted(page))
    return seen


def test_a_model_is_switched_off_in_all_plots_and_tables_at_once_and_on_again(switched):
    before, off, again = switched
    assert before["drawn"] > 30 and before["rows"] > 30
    assert off["drawn"] == off["rows"] == 0
    assert off["others"] == before["others"] - before["drawn"] and off["plots"] == before["plots"]
    assert again == before


def test_the_map_asks_who_is_first_of_the_models_that_are_switched_on(switched):
    before, off, _ = switched
    assert before["won"] > 0 and off["won"] == 0 and off["map"] == before["map"] == 4


def test_words_and_streams_filter_rows_and_plots(opened):
    with opened() as page:
        before = counted(page)
        words, stream = page.find("#words"), page.find("#stream")
        words.send_keys(MODEL)
        filtered = counted(page)
        assert filtered["rows"] == before["rows"] <= filtered["every"] < before["every"]
        assert said(page) == f"{filtered['every']} of {before['every']} rows"
        words.send_keys(browser.Keys.CONTROL, "a", browser.Keys.DELETE)
        browser.Select(stream).select_by_visible_text("lookup")
        of_stream = counted(page)
        assert 0 < of_stream["every"] < before["every"] and 0 < of_stream["plots"] < before["plots"]
        assert said(page) == f"{of_stream['every']} of {before['every']} rows"
        browser.Select(stream).select_by_visible_text("all")
        assert counted(page) == before and said(page) == ""


def test_a_table_is_sorted_from_the_keyboard_and_says_so(opened):
    with opened() as page:
        button = page.button("events/s")
        button.send_keys(browser.Keys.ENTER)
        sort, up = column(page, "events/s")
        assert sort == "ascending"
        page.press(browser.Keys.ENTER)  # where the focus is, so that it has stayed
        sort, down = column(page, "events/s")
        assert sort == "descending"
        assert page.run("return getComputedStyle(arguments[0]).outlineStyle;", button) != "none"
    assert sorted(up) == sorted(down)
    known = [value for value in up if value]
    assert known and list(reversed(known)) == [value for value in down if value]


def test_how_a_row_is_measured_again_is_one_click_away(opened):
    with opened() as page:
        page.button("how").send_keys(browser.Keys.ENTER)
        how = page.find("[popover]:popover-open").text
        page.press(browser.Keys.ESCAPE)
        assert page.count("[popover]:popover-open") == 0
    assert how.startswith("lookup/") and "build/bench/tally run" in how


def test_colours_follow_the_system_and_the_switch(opened):
    with opened(scheme="dark") as page:
        assert background(page) == DARK
        page.show(scheme="light")
        assert background(page) == LIGHT
        page.switch("#theme-dark", True)
        assert background(page) == DARK
        page.switch("#theme-light", True)
        assert background(page) == LIGHT
        page.show(scheme="dark")
        assert background(page) == LIGHT


def test_a_page_works_without_its_script(opened):
    with opened(script=False) as page:
        assert shown(page, "tbody tr") and shown(page, "svg[role=img]")
        assert not shown(page, "#words") and page.count("th button") == 0, "what would do nothing is not shown"
        page.find("button[popovertarget]").click()
        assert shown(page, "[popover]:popover-open samp")
        page.press(browser.Keys.ESCAPE)
        drawn = f"svg[role=img] .m-{MODEL}"
        assert shown(page, drawn)
        page.switch(f"#on-{MODEL}", False)
        assert not shown(page, drawn)
        assert background(page) == LIGHT
        page.switch("#theme-dark", True)
        assert background(page) == DARK


def test_no_heading_skips_a_level(opened):
    with opened() as page:
        levels = page.run("return [...document.querySelectorAll('h1, h2, h3, h4, h5')].map((heading) => Number(heading.localName[1]));")
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(opened, axe, scheme, width):
    with opened(width=width, scheme=scheme) as page:
        page.find("button[popovertarget]").click()
        page.run(axe)
        found = page.run("return axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations);")
    assert [f"{fault['id']}: {node['html'][:200]} {node['failureSummary']}" for fault in found
            if fault["impact"] in ("serious", "critical") for node in fault["nodes"][:5]] == []


def test_a_window_need_not_be_scrolled_sideways(opened):
    with opened() as page:
        page.find("button[popovertarget]").click()
        for width in (1280, 390):
            page.show(width=width)
            wide, visible = page.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth];")
            assert wide <= visible <= width
