"""docs/reference.md is the command line as it is: every option of every command, no other, with the defaults that `--help` names."""

import json
import re
import subprocess
import sys

import pytest

COMMANDS = ["list", "run", "map", "advise", "count", "serve", "load", "doctor", "lookup-service", "merge-model"]
OPTION = re.compile(r"--[a-z][\w-]*")
HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
# What a text names as a default: in backticks, or a number with its unit.
DEFAULT = re.compile(r"\bdefault (?:`([^`]+)`|(\d[\w.]*))")


@pytest.fixture(scope="module")
def sections(root):
    """The text beneath each heading, by its name."""
    parts = HEADING.split((root / "docs/reference.md").read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def helped(*command):
    """The options that `command --help` has, each with its text."""
    text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    options, name = {}, None
    for line in text.splitlines():
        if found := re.match(r"  (?:-\w,)?(--[a-z][\w-]*)(.*)", line):
            name = found[1]
            options[name] = found[2]
        elif name and line.startswith(" " * 8):
            options[name] += " " + line.strip()
        else:
            name = None
    options.pop("--help", None)
    return options


def described(sections, title):
    """The options in a section and in the sections whose events it says that it takes, each with what follows its name."""
    taken = re.findall(r"\[([\w\s]+)\]\(#", sections[title])
    text = sections[title] + "".join(sections[" ".join(name.split()).capitalize()] for name in taken)
    options = {}
    names = [name for name in re.finditer(r"`(--[a-z][\w-]*)[^`]*`", text) if not name[1].startswith("--benchmark")]
    for name, following in zip(names, [*names[1:], None], strict=True):
        options.setdefault(name[1], text[name.end():following.start() if following else len(text)])
    return options


def other_defaults(said, options):
    """Those defaults in `said` that the help in `options` does not name."""
    for name, text in said.items():
        for quoted, number in DEFAULT.findall(re.split(r"; (?:with|`)|, else", text)[0]):
            if (quoted or number) not in options.get(name, ""):
                yield name, quoted or number


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_option_of_a_command_and_no_other(sections, program, command):
    options, said = helped(program, command), described(sections, f"tally {command}")
    assert sorted(said) == sorted(options)
    assert list(other_defaults(said, options)) == []


@pytest.mark.mpi
@pytest.mark.parametrize("command", ["run", "merge"])
def test_the_reference_has_every_option_of_tally_mpi(sections, program, command):
    path = program.parent.parent / "mpi/tally-mpi"
    if not path.is_file():
        pytest.skip("tally-mpi is not built")
    options, said = helped(path, command), described(sections, f"tally-mpi {command}")
    assert list(other_defaults(said, options)) == []
    if command == "run":
        said |= described(sections, "tally run")
    assert sorted(said) == sorted(options)


def test_every_command_has_a_section(sections, tally):
    commands = re.findall(r"^  tally ([a-z][a-z-]+)", tally("--help").stdout.decode(), re.MULTILINE)
    assert sorted(set(commands)) == sorted(COMMANDS)
    assert [command for command in COMMANDS if f"tally {command}" not in sections] == []


def test_another_option_or_default_is_found():
    sections = {"Tally x": "", "x": "- `--a N`: default 3; `--b`: default `1ms`, with [shared things](#shared-things)", "Shared things": "`--c D`: default 7us"}
    said = described(sections, "x")
    assert sorted(said) == ["--a", "--b", "--c"]
    assert list(other_defaults(said, {"--a": "so many (default 3)", "--b": "(default 2ms)", "--c": "(default: 7us)"})) == [("--b", "1ms")]


def test_the_reference_has_the_flags_of_google_benchmark(sections, tally):
    refused = tally("run", "--benchmark_none=1").stderr.decode()
    known = re.findall(r"--benchmark_(\w+)", refused.partition("those of Google Benchmark are")[2])
    said = re.search(r"`--benchmark_(\w+)`,(.*?): flags of Google Benchmark", sections["tally run"], re.DOTALL)
    assert [said[1], *re.findall(r"`_(\w+)`", said[2])] == known


def script_lines(text):
    """Each script that the section on scripts names, with its options."""
    for span in re.findall(r"`(scripts/[^`]+)`", text):
        name, *rest = span.split()
        yield name, set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", " ".join(rest)))


def test_the_reference_has_every_option_of_the_scripts(sections, root):
    said = dict(script_lines(sections["Scripts"]))
    assert {f"scripts/{path.name}" for path in root.glob("scripts/*.py")} <= said.keys()
    for name, options in said.items():
        path = root / name
        assert path.is_file(), name
        if "python" not in path.read_text(encoding="utf-8").partition("\n")[0]:
            continue  # a shell script says what it takes in its first lines alone
        usage = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
        short = {(found[1] or found[2]) for found in re.finditer(r"^  (?:(-\w)\b[^-\n]*(?:, )?)?(--[\w-]+)?", usage, re.MULTILINE)} - {None, "-h", "--help"}
        assert options == short, name


def keys_of(schema):
    """The names of all properties in a JSON schema that an entry of a cell may have: of samples and of aggregates."""
    for name in ("sample", "failed_sample", "aggregate"):
        yield from schema["definitions"][name]["properties"]
    yield from schema["properties"]["benchmarks"]["items"]["properties"]


def test_the_reference_has_every_key_of_a_cells_entries(sections, root):
    text = sections["The result file"]
    schema = json.loads((root / "scripts/tally/result.schema.json").read_text(encoding="utf-8"))
    # As Google Benchmark has them; their meaning is that of its own files.
    of_the_library = {"name", "run_name", "run_type", "aggregate_name", "iterations", "time_unit"}
    words = set(re.findall(r"[\w]+", text))
    stands_for = {"latency_p99_s": "latency_p50_s", "latency_uncorrected_p99_s": "latency_uncorrected_p50_s"}
    assert [key for key in keys_of(schema) if key not in of_the_library and stands_for.get(key, key) not in words] == []
