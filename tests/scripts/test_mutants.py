"""The mutants of tests/mutants, which scripts/mutants tries: whether they can be tried at all."""

import collections
import importlib.machinery
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = sorted((ROOT / "tests/mutants").glob("*/*.patch"))
LEAST, LEAST_OF_A_ROOM = 25, 3


@pytest.fixture(scope="module")
def script():
    """scripts/mutants as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    loader = importlib.machinery.SourceFileLoader("mutants", str(ROOT / "scripts/mutants"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants", loader))
    sys.modules["mutants"] = module
    loader.exec_module(module)
    yield module
    del sys.modules["mutants"]


def test_there_are_mutants_of_every_room(script):
    rooms = collections.Counter(mutant.room for mutant in script.mutants().values())
    assert rooms.total() >= LEAST
    assert {room: rooms[room] for room in script.ROOMS if rooms[room] < LEAST_OF_A_ROOM} == {}
    assert {path.parent.name for path in PATCHES} == set(script.ROOMS)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_mutant_applies(patch):
    done = subprocess.run(["git", "apply", "--check", patch], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_tests_that_are_to_catch_a_mutant_are_there(script):
    unknown = {mutant.name: why for mutant in script.mutants().values() for why in map(script.why_unknown, mutant.caught_by) if why}
    assert unknown == {}
    for mutant in script.mutants().values():
        for named in mutant.caught_by:
            if named.is_pytest and named.word:
                tests = re.findall(r"^def (test_\w+)", (ROOT / named.where).read_text(encoding="utf-8"), re.MULTILINE)
                assert any(named.word in test for test in tests), f"{mutant.name}: no test of {named.where} is called {named.word}"


def test_a_mutant_changes_what_is_of_its_room(script):
    for mutant in script.mutants().values():
        changed = script.changed_files(mutant)
        assert changed and all(name.startswith(f"{mutant.room}/") for name in changed), mutant.name


def test_a_patch_without_its_head_is_named(script, tmp_path):
    text = PATCHES[0].read_text(encoding="utf-8")
    for broken in ("", text.replace("Caught by:", ""), text[text.index("Caught by:"):], text[:text.index("--- ")]):
        (tmp_path / "broken.patch").write_text(broken, encoding="utf-8")
        with pytest.raises(script.CannotRun, match="broken.patch: no mutant"):
            script.read(tmp_path / "broken.patch")


def test_an_unknown_mutant_is_refused_in_a_line():
    done = subprocess.run([ROOT / "scripts/mutants", "none"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "no mutant 'none'" in done.stderr


def test_mutants_are_listed_with_their_defects_and_tests():
    done = subprocess.run([ROOT / "scripts/mutants", "--list"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert sorted(line.partition(" (")[0] for line in lines) == sorted(path.stem for path in PATCHES)
    assert all("Caught by " in line for line in lines)
