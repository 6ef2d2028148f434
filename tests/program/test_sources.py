"""What holds of the sources as text: who includes whom, and what stands where."""

import collections
import pathlib
import re
import subprocess

import pytest

# Every folder of C++ sources, from the bottom up: a file includes headers of its own folder and of folders that stand before it, and a model
# includes no other model. Tests may include everything.
FOLDERS = """
    workloads/base workloads/counting workloads workloads/events workloads/text workloads/input workloads/lookup workloads/ingest
    models models/runtime models/runtime/io models/*
    bench/base bench/process bench/machine bench/services bench/plan bench/analysis bench/output bench/sampling bench/campaign bench/advice bench/cli
    bench/commands bench mpi mpi/commands
    scripts/hosts scripts/peers
    tests/bench tests/models tests/workloads tests/mpi tests/broken tests/fuzz
""".split()
ALONE = ("models/*",)
MOST_FILES = 25


def place_of(folder):
    """The place of a folder in FOLDERS, and the name that stands there."""
    name = folder if folder in FOLDERS else str(pathlib.PurePath(folder).parent) + "/*"
    return FOLDERS.index(name), name


def may_include(one, other):
    """Whether a file in the folder `one` may include a header in `other`."""
    if one == other:
        return True
    (high, name), (low, other_name) = place_of(one), place_of(other)
    if one.startswith("tests/"):
        return True
    return low < high if name != other_name else name not in ALONE


def included(root):
    """Pairs of a C++ file of the project and a header of the project that it includes."""
    for path in sorted(root.glob("*/**/*.[ch]pp")):
        name = path.relative_to(root)
        if name.parts[0] in ("workloads", "models", "bench", "mpi", "scripts", "tests"):
            for header in re.findall(r'^#include "([\w/]+\.hpp)"', path.read_text(encoding="utf-8"), re.MULTILINE):
                yield name, pathlib.PurePath(header)


def test_includes_go_down(root):
    wrong = [f"{path} includes {header}" for path, header in included(root)
             if header.name not in ("build_config.hpp", "build_tree.hpp") and not may_include(str(path.parent), str(header.parent))]
    assert wrong == []


def test_an_include_that_goes_up_is_found():
    assert may_include("bench/campaign", "workloads/text") and may_include("models/fibers", "models/runtime/io")
    assert not may_include("bench/plan", "bench/cli") and not may_include("models/fibers", "models/coroutines")
    assert not may_include("workloads/counting", "bench/base")


def test_no_units_include_each_other_in_a_circle(root):
    """A unit is a header and its source: a source that includes a header which includes the source's own makes a circle."""
    uses = collections.defaultdict(set)
    for path, header in included(root):
        uses[path.with_suffix("")].add(header.with_suffix(""))
    done, way = set(), []

    def follow(unit):
        assert unit not in way, f"a circle: {' > '.join(map(str, [*way[way.index(unit):], unit]))}"
        if unit in done:
            return
        way.append(unit)
        for other in sorted(uses[unit] - {unit}):
            follow(other)
        done.add(way.pop())

    for unit in sorted(uses):
        follow(unit)


def test_no_folder_is_too_full_to_find_a_file_in(root):
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.splitlines()
    if not tracked:
        pytest.skip("no git repository")
    files = collections.Counter(str(pathlib.PurePath(name).parent) for name in tracked if not name.startswith("results/"))
    assert {folder: number for folder, number in files.items() if number > MOST_FILES} == {}


# A definition at the left edge of an unnamed namespace: a type, a constant or variable, or a function.
TYPE = re.compile(r"(?:class|struct|union|enum|enum class) (\w+)\b(?!.*;$)")
FUNCTION = re.compile(r"(?!return|throw|using|namespace|template)[\w\[\]:<>,&*\s.]*?[\s&*](\w+)\(")
CONSTANT = re.compile(r"(?:inline )?(?:constexpr|const|static|thread_local)\b[^(={]*?\b(\w+)(?:\[\w*\])?(?: =|\{|;)")


def own_names(source):
    """Names that the unnamed namespaces of `source` define, in order."""
    names, inside = [], False
    for line in source.splitlines():
        if line == "namespace {":
            inside = True
        elif line.startswith("}") and inside and "namespace" in line:
            inside = False
        elif inside and line[:1].strip() and not line.startswith(("//", "#", "}", "public", "private")):
            line = re.sub(r"^template <.*?> (?=\w)", "", line)
            found = TYPE.match(line) or CONSTANT.match(line) or FUNCTION.match(line)
            if found:
                names.append(found[1])
    return names


def test_definitions_of_unnamed_namespaces_are_found():
    assert own_names("namespace {\nconstexpr int kOne = 1;\nint two(int n) {\n  int inner = 3;\n}\nclass Four {\n};\nusing Five = int;\n"
                     "std::string six(\n    int n);\n[[noreturn]] void seven() {\n}\nstruct Eight;\ntemplate <class T>\nT nine(T t) {\n}\n"
                     "constexpr char kTen[] = \"x\";\n}  // namespace\nint outside(int n) {\n}\n") == [
                         "kOne", "two", "Four", "six", "seven", "nine", "kTen"]


@pytest.mark.parametrize("folder", ["workloads", "models", "bench", "mpi", "tests"])
def test_no_two_files_of_a_folder_define_the_same_helper(root, folder):
    """Files of a folder are compiled several at a time, as one: a name that two of them have would be an error at best, and at worst the call of
    the other's function. Overloads of public functions count too."""
    files = collections.defaultdict(set)
    for path in sorted((root / folder).glob("**/*.cpp")):
        for name in own_names(path.read_text(encoding="utf-8")):
            files[name].add(path.name)
    assert {name: sorted(where) for name, where in files.items() if len(where) > 1} == {}
