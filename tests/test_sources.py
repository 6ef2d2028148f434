"""What holds of the C++ sources as text."""

import collections
import re

import pytest

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
