"""README.md and docs/: every link leads somewhere, every section that the sources name exists, and the whole stays short enough to be read."""

import re
import subprocess

import pytest

MOST_README_LINES, MOST_README_WORDS, MOST_WORDS = 150, 1300, 14_000
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# `docs/method.md, "Advice"`, as comments, messages and scripts name a section, or a page alone.
NAMED = re.compile(r'\bdocs/(\w[\w-]*\.md)(?:, "([^"]+)")?')
# These name pages as they were when their figures were made, or as those who call them do.
NOT_SEARCHED = ("results/", "tests/scripts/test_documents.py", "scripts/campaigns/")


def pages(root):
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def prose(text):
    """The text without code: what stands in fences, in backticks, or indented beneath a blank line."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(?<=\n\n)(?: {4}(?!\s*[-*] ).*\n)+", "", text)
    return re.sub(r"`[^`]*`", "", text)


def headings(text):
    return re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(page):
    """The links of a page that lead to no file and to no heading of a page."""
    for link in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            yield link
        elif fragment and fragment not in map(anchor, headings(target.read_text(encoding="utf-8"))):
            yield link


def test_every_link_of_a_page_leads_somewhere(root):
    assert {page.name: list(broken_links(page)) for page in pages(root) if list(broken_links(page))} == {}


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n[a](#a-page) [b](#other) [c](page.md) [d](gone.md) [e](page.md#a-page) [f](https://x.org/y)\n"
                    "![g](gone.svg) `[h](code.md)`\n\n    [i](code.md)\n\n```\n[j](code.md)\n```\n\n## What's `new` here?\n\n[k](#whats-new-here)\n")
    assert list(broken_links(page)) == ["#other", "gone.md", "gone.svg"]


def test_every_page_can_be_reached_from_the_readme(root):
    reached, left = set(), [root / "README.md"]
    while left:
        page = left.pop().resolve()
        if page in reached:
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")))
        left += [page.parent / link for link in links if link.endswith(".md") and (page.parent / link).is_file()]
    assert [page.name for page in pages(root) if page.resolve() not in reached] == []


def test_the_pages_and_sections_that_the_sources_name_exist(root):
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.splitlines()
    if not tracked:
        pytest.skip("no git repository")
    wrong = []
    for name in tracked:
        path = root / name
        if name.startswith(NOT_SEARCHED) or path.suffix not in (".py", ".cpp", ".hpp", ".c", ".sh", ".html", ".md", "") or not path.is_file():
            continue
        # A comment may break a section's name in two.
        text = re.sub(r"\s*\n\s*(?://+|#|\*)? ?", " ", path.read_text(encoding="utf-8", errors="replace"))
        for page, section in NAMED.findall(text):
            there = root / "docs" / page
            if not there.is_file() or section and section not in headings(there.read_text(encoding="utf-8")):
                wrong.append((name, page, section))
    assert wrong == []


def test_the_readme_and_the_pages_are_no_longer_than_is_read(root):
    words = {page.name: len(page.read_text(encoding="utf-8").split()) for page in pages(root)}
    assert words["README.md"] <= MOST_README_WORDS
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_README_LINES
    assert sum(words.values()) <= MOST_WORDS, words


def test_the_readme_has_the_two_commands(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    assert all(re.search(rf"^    {command}\b", text, re.MULTILINE) and (root / command).is_file() for command in ("scripts/bench", "scripts/test"))


def test_the_glossary_has_its_terms_once(root):
    text = (root / "docs/glossary.md").read_text(encoding="utf-8")
    terms = [term.lower() for term in re.findall(r"\*\*([^*]+)\*\*", text)]
    assert sorted(set(terms)) == sorted(terms)
    assert {"cell", "group", "sample", "round", "campaign", "bound", "limit", "of limit", "grain", "link", "batch", "task", "in flight", "open loop",
            "metg(50%)", "saturated", "noise floor", "hand-off", "window", "late", "malformed"} <= set(terms)
