"""scripts/campaigns/judge.py: its campaigns, and that every page in results/ is what they make of the result files."""

import ast
import json
import subprocess
import sys
import types

import pytest

from campaigns import judge
from result_files import same_but_for_digits
from tally import judging


def judge_py(root, *arguments):
    return subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", *arguments], capture_output=True, text=True, timeout=60)


def modules(root):
    """The campaigns' files by name."""
    return {path.stem: path for path in (root / "scripts/campaigns").glob("*.py") if path.stem not in ("__init__", "judge")}


def test_every_campaign_is_listed_with_a_line_and_has_results(root):
    assert sorted(judge.CAMPAIGNS) == sorted(modules(root))
    assert sorted(judge.CAMPAIGNS) == sorted(path.parent.name for path in (root / "results").glob("*/*.md") if path.stem == path.parent.name)
    done = judge_py(root, "--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(judge.CAMPAIGNS)
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())


def test_a_program_that_is_not_built_is_named_and_nothing_is_written(root, tmp_path):
    done = judge_py(root, "targets", "-o", tmp_path / "out", "--tally", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and f"there is no program {tmp_path}/none" in done.stderr
    assert not (tmp_path / "out").exists()


def imported(path):
    """Names of the modules that a file imports, from the first part on."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_campaign_imports_another(root):
    for path in modules(root).values():
        assert not [name for name in imported(path) if name.startswith((".", "campaigns")) or name in judge.CAMPAIGNS], path


@pytest.mark.parametrize("name", judge.CAMPAIGNS)
def test_a_campaign_has_what_judge_py_says(name):
    campaign = judge.load(name)
    assert campaign.MEASUREMENTS and callable(campaign.judge)
    assert all(callable(how) or isinstance(how, list) for how in campaign.MEASUREMENTS.values())


def judged(root, name, **more):
    """What a campaign says of its committed result files."""
    return judge.load(name).judge(types.SimpleNamespace(campaign=name, out=root / "results" / name, **more))


def committed(root, name, file):
    return (root / "results" / name / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name == "self_check" else name
                                  for name in judge.CAMPAIGNS if name != "merge_model"])
def test_the_page_is_what_the_result_files_say(root, name, monkeypatch):
    # What self_check's raw data must look like takes ten times as long as all else; that it is checked is tested by itself.
    monkeypatch.setattr("validate.broken", lambda text: [])
    found = judged(root, name)
    assert found.page(judge.command_of(name)) == committed(root, name, f"{name}.md")
    assert found.files == {file: committed(root, name, file) for file in found.files}


def test_the_rows_of_the_page_on_self_check_are_those_of_its_file(root):
    rows = [judging.Row(**row) for row in json.loads(committed(root, "self_check", "self_check.json"))]
    assert judging.rows_table(rows) in committed(root, "self_check", "self_check.md")


def test_the_page_on_merges_is_what_the_result_files_say(root, program):
    page = judged(root, "merge_model", tally=program).page(judge.command_of("merge_model"))
    same_but_for_digits(page, committed(root, "merge_model", "merge_model.md"))
