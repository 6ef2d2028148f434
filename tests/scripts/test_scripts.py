"""scripts/bench, scripts/test and what they share, on machines that are made up from shims on PATH."""

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture
def machine(tmp_path):
    """A PATH on which `name` is a shim with the given shell body; everything else is the real machine's."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def shim(name, body):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    shim.log = tmp_path / "apt.log"
    shim.env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(shim.log), "TMPDIR": str(tmp_path)}
    # Not root, and sudo says no, as it does for a user who may not.
    shim("id", "echo 1000")
    shim("sudo", 'echo "sudo $*" >>"$LOG"; exit 1')
    shim("apt-get", 'echo "apt-get $*" >>"$LOG"; exit 100')
    shim("dpkg-query", 'case "$*" in *benchmark*|*gtest*) echo not-installed;; *) echo installed;; esac')
    return shim


def run(machine, root, *command):
    return subprocess.run([root / command[0], *command[1:]], env=machine.env, capture_output=True, text=True, cwd="/",
                          stdin=subprocess.DEVNULL, timeout=60)


def shared(machine, root, command):
    """Runs a command of the shared file."""
    return subprocess.run(["bash", "-c", f'set -euo pipefail; . "{root}/scripts/setup.sh"; {command}'], env=machine.env,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


def test_every_script_with_an_interpreter_can_be_run(root):
    scripts = [path for path in (root / "scripts").rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!")]
    assert len(scripts) > 20
    assert [str(path) for path in scripts if not os.access(path, os.X_OK)] == []


@pytest.mark.parametrize("script", ["scripts/bench", "scripts/test"])
def test_without_the_right_to_install_one_line_says_what_to_install(machine, root, script):
    done = run(machine, root, script)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "as root, run: apt-get install libbenchmark-dev libgtest-dev" in done.stderr
    assert done.stdout == ""
    assert "apt-get" not in (machine.log.read_text() if machine.log.exists() else "")


def test_root_installs_only_what_is_missing_and_says_so_in_one_line(machine, root):
    machine("id", "echo 0")
    machine("apt-get", 'echo "apt-get $*" >>"$LOG"')
    done = shared(machine, root, "tally_install")
    assert done.returncode == 0
    assert done.stderr == "tally: installing libbenchmark-dev libgtest-dev\n"
    commands = machine.log.read_text().splitlines()
    assert len(commands) == 1, "lists that suffice are not fetched again"
    assert commands[0].endswith("install --no-install-recommends --no-remove libbenchmark-dev libgtest-dev")


def test_a_user_with_sudo_installs_through_it(machine, root):
    machine("sudo", 'echo "sudo $*" >>"$LOG"')
    done = shared(machine, root, "tally_install")
    assert done.returncode == 0
    assert re.search(r"^sudo env DEBIAN_FRONTEND=noninteractive apt-get .*install .*libgtest-dev$", machine.log.read_text(), re.M)


def test_lists_are_fetched_when_a_package_is_not_known_yet(machine, root):
    machine("id", "echo 0")
    machine("apt-get", 'echo "apt-get $*" >>"$LOG"\n'
            'case "$*" in *update*) touch "$TMPDIR/lists";; *) [ -f "$TMPDIR/lists" ] || { echo "E: Unable to locate package"; exit 100; };; esac')
    done = shared(machine, root, "tally_install")
    assert done.returncode == 0, done.stderr
    assert [line.split()[3] for line in machine.log.read_text().splitlines()] == ["install", "update", "install"]


def test_a_failed_installation_gives_its_reason_in_one_line(machine, root):
    machine("id", "echo 0")
    machine("apt-get", 'echo "E: Unable to fetch some archives"; exit 100')
    done = shared(machine, root, "tally_install")
    assert done.returncode == 2
    assert "failed: E: Unable to fetch some archives" in done.stderr and done.stderr.count("\n") == 2


def test_no_package_is_removed_without_being_asked(machine, root):
    machine("id", "echo 0")
    machine("apt-get", 'case "$*" in *-s*) echo "Remv libboost1.74-dev [1.74]";; '
            '*) echo "E: Packages need to be removed but remove is disabled."; exit 100;; esac')
    done = shared(machine, root, "tally_install")
    assert done.returncode == 2
    assert "would remove libboost1.74-dev; if that is right, run: apt-get install libbenchmark-dev libgtest-dev" in done.stderr


def test_everything_installed_needs_no_right_at_all(machine, root):
    machine("dpkg-query", "echo installed")
    done = shared(machine, root, "tally_install")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.log.exists()


def test_every_package_that_cmake_asks_for_is_in_the_list(machine, root):
    listed = set(re.findall(r"^\S+", shared(machine, root, "tally_packages").stdout, re.M))
    asked = re.findall(r"tally_require\(\w+ \"?([^\")]+?)\"?(?: 1\.81.*)?\)", (root / "CMakeLists.txt").read_text())
    named = {package for group in asked for package in group.split()} - {"libc6-dev", "package", "${ARGN}"}
    assert named and named <= listed


def test_who_measures_need_not_install_what_tests_alone_need(machine, root):
    to_measure, to_test = (shared(machine, root, f"tally_packages {what}").stdout for what in ("", "tests"))
    assert "chromium" not in to_measure and "pytest" not in to_measure
    assert to_test.startswith(to_measure) and "chromium" in to_test and "pytest" in to_test


def test_the_quick_tests_need_neither_clang_a_browser_node_redis_nor_mpi(machine, root):
    everything, quick = (set(re.findall(r"^\S+", shared(machine, root, f"tally_packages {what}").stdout, re.M))
                         for what in ("tests", "quick-tests"))
    assert quick < everything and "python3-pytest" in quick
    assert not [name for name in quick if re.search("clang|chromium|selenium|node|npm|^redis|mpi", name)]
    assert not [name for name in everything if re.search("node|npm", name)]


@pytest.mark.parametrize("arguments", [["release"], ["quick", "dev"], ["dev", "quick"]])
def test_a_part_that_there_is_not_is_refused(machine, root, arguments):
    done = run(machine, root, "scripts/test", *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "quick" in done.stderr


@pytest.fixture
def install_axe(machine, root, tmp_path):
    """Installs axe-core in a folder with a lock file; gives what the shell function did."""
    (tmp_path / "package-lock.json").touch()
    os.utime(tmp_path / "package-lock.json", (0, 0))
    return lambda: shared(machine, root, f"tally_install_axe '{tmp_path}' '{tmp_path}/logs/npm.log'")


def test_axe_is_installed_once_for_a_lock_file(machine, install_axe, tmp_path):
    machine("npm", 'echo "npm $*" >>"$LOG"; mkdir -p node_modules; touch node_modules/.package-lock.json')
    for _ in range(2):
        done = install_axe()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.log.read_text().startswith("npm ci ") and machine.log.read_text().count("\n") == 1
    assert (tmp_path / "node_modules").is_dir()


@pytest.mark.parametrize("name, body, why", [
    ("npm", "echo npm error code UNTRUSTED; echo npm error more; exit 1", "npm ci failed: npm error code UNTRUSTED"),
    ("npm", "echo what is this; exit 1", "npm ci failed: what is this"), ("timeout", "exit 124", "npm ci took longer than 60 s")])
def test_why_axe_cannot_be_installed_is_said_in_one_line_and_stops_nothing(machine, install_axe, name, body, why):
    machine("npm", "true")
    machine(name, body)
    done = install_axe()
    assert done.returncode == 0 and done.stderr.count("\n") == 1 and f"accessibility is not tested: {why}" in done.stderr


def test_without_npm_nothing_is_run_and_one_line_says_so(machine, install_axe, tmp_path):
    machine.env["PATH"] = str(tmp_path / "bin")
    machine("bash", 'exec /bin/bash "$@"')
    done = install_axe()
    assert done.returncode == 0 and done.stderr.count("\n") == 1 and "npm, which installs it, is not on PATH" in done.stderr


JUNIT = """<testsuites><testsuite>
<testcase name="a" status="run" time="0.5"/><testcase name="b"/>
<testcase name="c" status="fail"><failure message="no"/></testcase>
<testcase name="d"><error message="no"/></testcase>
<testcase name="e" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>
<testcase name="f" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="g"><skipped message="no such file here"/></testcase>
</testsuite></testsuites>"""


def summary(root, *arguments):
    return subprocess.run([sys.executable, root / "scripts/tally/test_summary.py", *arguments], capture_output=True, text=True)


def test_junit_files_are_added_up_and_a_test_that_could_not_start_is_a_failure(root, tmp_path):
    (tmp_path / "junit.xml").write_text(JUNIT)
    done = summary(root, f"dev={tmp_path / 'junit.xml'}", f"again={tmp_path / 'junit.xml'}")
    assert (done.returncode, done.stdout) == (1, "4 passed, 6 failed, 4 skipped\n")
    assert "tally: dev: 2 passed, 3 failed, 2 skipped\n" in done.stderr
    assert "tally: failed: dev: f\n" in done.stderr


def of_a_suite(tmp_path, suite_passed, inner):
    """A CTest file with the one suite Parse, beside which is what its process wrote."""
    (tmp_path / "suites").mkdir()
    ending = '<testcase name="Parse" status="run" time="3"/>' if suite_passed else (
        '<testcase name="Parse" status="fail" time="3"><failure/></testcase>')
    (tmp_path / "junit.xml").write_text(f"<testsuite>{ending}</testsuite>")
    (tmp_path / "suites/Parse.xml").write_text(f"<testsuites><testsuite>{inner}</testsuite></testsuites>")
    return f"dev={tmp_path / 'junit.xml'}"


TESTS = ('<testcase name="One" classname="Parse" status="run" result="completed" time="0.5"/>'
         '<testcase name="Two" classname="Parse" status="run" result="skipped" time="0"><skipped message="no file"/></testcase>')


def test_of_a_suite_its_single_tests_are_counted(root, tmp_path):
    done = summary(root, of_a_suite(tmp_path, True, TESTS))
    assert (done.returncode, done.stdout) == (0, "1 passed, 0 failed, 1 skipped\n")
    assert "0.50 s  dev: Parse.One\n" in done.stderr


def test_a_process_that_fails_behind_its_last_test_is_a_failure(root, tmp_path):
    done = summary(root, of_a_suite(tmp_path, False, TESTS))
    assert (done.returncode, done.stdout) == (1, "1 passed, 1 failed, 1 skipped\n")
    assert "tally: failed: dev: Parse (its process)\n" in done.stderr


def test_the_ten_slowest_are_named_slowest_first(root, tmp_path):
    cases = "".join(f'<testcase name="t{n}" time="{n}"/>' for n in range(12))
    (tmp_path / "junit.xml").write_text(f"<testsuite>{cases}</testsuite>")
    done = summary(root, f"x={tmp_path / 'junit.xml'}")
    assert re.findall(r"x: (t\d+)", done.stderr) == [f"t{n}" for n in range(11, 1, -1)]


@pytest.mark.parametrize("content", [None, "", "<testsuites>"])
def test_a_junit_file_that_tells_nothing_is_a_failure(root, tmp_path, content):
    if content is not None:
        (tmp_path / "junit.xml").write_text(content)
    done = summary(root, f"dev={tmp_path / 'junit.xml'}")
    assert (done.returncode, done.stdout) == (1, "0 passed, 1 failed, 0 skipped\n")
    assert "tally: dev: no results: " in done.stderr


@pytest.fixture
def bench(machine, root, tmp_path):
    """scripts/bench in a copy of the scripts, over a `tally` made of shell; cmake does nothing."""
    copy = tmp_path / "tally"
    (copy / "scripts").mkdir(parents=True)
    (copy / "build/bench").mkdir(parents=True)
    for script in (root / "scripts").rglob("*"):
        if script.is_file():
            (copy / script.relative_to(root)).parent.mkdir(exist_ok=True)
            (copy / script.relative_to(root)).write_bytes(script.read_bytes())
    (copy / "scripts/bench").chmod(0o755)
    machine("dpkg-query", "echo installed")
    machine("cmake", "true")
    machine.env["TALLY_PYTHON"] = sys.executable

    def go(tally, *arguments):
        (copy / "build/bench/tally").write_text(f"#!/bin/bash\n{tally}\n")
        (copy / "build/bench/tally").chmod(0o755)
        return run(machine, copy, "scripts/bench", *arguments), copy / "results/local"

    return go


@pytest.fixture
def bench_that_draws_nothing(bench, machine, tmp_path):
    """As `bench`, but for plots that are empty files, and a report of one letter: what draws and reports is tested by itself."""
    python = tmp_path / "python"
    # plot.py RESULT -o DIR; report.py RESULT -o FILE
    python.write_text('#!/bin/sh\n[ -s "$2" ] || exit 1\ncase $1 in\nscripts/plot.py) mkdir -p "$4" && touch "$4/cpu-throughput.svg" "$4/cpu-throughput.png";;\n'
                      'scripts/report.py) echo x >"$4";;\nesac\n')
    python.chmod(0o755)
    machine.env["TALLY_PYTHON"] = str(python)
    return bench


@pytest.fixture
def one_cell(invented, tmp_path):
    """A result file with one cell."""
    import json

    invented["benchmarks"] = [entry for entry in invented["benchmarks"]
                              if entry["run_name"] == "cpu/limit/workers:1/grain_ns:0/batch:1"]
    path = tmp_path / "one.json"
    path.write_text(json.dumps(invented))
    return path


@pytest.mark.slow
def test_what_was_measured_is_drawn_and_reported(bench, one_cell):
    measured_and_drawn(bench, one_cell, 0)


@pytest.mark.parametrize("status", [1, 130])
def test_the_status_of_what_was_measured_is_passed_on(bench_that_draws_nothing, one_cell, status):
    measured_and_drawn(bench_that_draws_nothing, one_cell, status)


def measured_and_drawn(bench, one_cell, status):
    done, local = bench(f'[ "$1 $2 $4" = "run --out --rounds" ] || exit 9; cp {one_cell} "$3"; exit {status}', "--rounds", "3:5")
    assert done.returncode == status, done.stderr
    results = list(local.glob("*.json"))
    assert len(results) == 1
    plots = local / results[0].stem
    assert (plots / "cpu-throughput.svg").exists()
    assert f"results: results/local/{results[0].name}" in done.stderr
    assert f"plots:   results/local/{plots.name}/" in done.stderr
    assert (plots / "report.html").exists()
    assert f"report:  results/local/{plots.name}/report.html" in done.stderr


def test_a_wrong_command_line_leaves_nothing_behind(bench_that_draws_nothing):
    done, local = bench_that_draws_nothing('echo "tally: unknown flag" >&2; exit 2', "--nonsense")
    assert done.returncode == 2
    assert list(local.iterdir()) == []


def test_a_second_run_in_the_same_second_overwrites_nothing(bench_that_draws_nothing, one_cell, machine):
    machine("date", "echo 2020-01-02T030405Z")
    for _ in range(2):
        done, local = bench_that_draws_nothing(f'cp {one_cell} "$3"')
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in local.glob("*.json")) == ["2020-01-02T030405Z-2.json", "2020-01-02T030405Z.json"]


def test_a_path_given_by_the_caller_is_used(bench_that_draws_nothing, one_cell, tmp_path):
    mine = tmp_path / "mine.json"
    done, _ = bench_that_draws_nothing(f'[ "$1 $2" = "run --out={mine}" ] || exit 9; cp {one_cell} {mine}', f"--out={mine}")
    assert done.returncode == 0, done.stderr
    assert f"results: {mine}" in done.stderr


def test_termination_reaches_tally_and_what_it_wrote_is_drawn(bench_that_draws_nothing, one_cell):
    # The shim ends its parent as a batch system would, and answers as tally does.
    done, local = bench_that_draws_nothing(f'trap \'cp {one_cell} "$3"; exit 130\' TERM; kill -TERM $PPID; for i in {{1..500}}; do sleep 0.02; done; exit 9')
    assert done.returncode == 130, done.stderr
    assert len(list(local.glob("*/cpu-throughput.png"))) == 1
