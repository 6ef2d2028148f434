"""scripts/tally/whole_files.py: files that are there whole or as they were, and what is no regular file. All in a folder of the test's own."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest

from tally import whole_files as whole_files_
from tally.whole_files import write_whole


def test_a_file_is_replaced_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_whole({path: "new", tmp_path / "b": b"bytes"})
    assert (path.read_text(), (tmp_path / "b").read_bytes()) == ("new", b"bytes")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole({tmp_path / "a": "x"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_files_are_synced_before_they_are_renamed(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append("sync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    write_whole({tmp_path / "a": "x", tmp_path / "b": "y"})
    assert done == ["sync", "sync", "rename", "rename"]


def test_one_file_that_cannot_be_written_leaves_all_as_they_were(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError):
        write_whole({tmp_path / "a": "new", tmp_path / "missing" / "b": "x"})
    with pytest.raises(IsADirectoryError):
        write_whole({tmp_path / "a": "new", tmp_path: "x"})
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("target", ["there", "dangling"])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, target):
    if target == "there":
        (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "link to link").symlink_to("link")
    write_whole({tmp_path / "link to link": "new"})
    assert (tmp_path / "link").is_symlink() and (tmp_path / "link to link").is_symlink()
    assert (tmp_path / target).read_text() == "new"


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as raised:
        write_whole({tmp_path / "a": "x"})
    assert raised.value.errno == errno.ELOOP


def test_a_pipe_is_written_through(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    said = []
    reader = threading.Thread(target=lambda: said.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_whole({tmp_path / "pipe": "through"})
    reader.join()
    assert said == ["through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


@pytest.fixture
def device(tmp_path):
    """device(name, minor) makes a memory device of the test's own, so that a fault does not reach those of the machine."""

    def make(name, minor):
        try:
            os.mknod(tmp_path / name, stat.S_IFCHR | 0o600, os.makedev(1, minor))
            os.close(os.open(tmp_path / name, os.O_WRONLY))
        except PermissionError:
            pytest.skip("device nodes cannot be made or opened here")
        return tmp_path / name

    return make


def test_a_device_is_written_through_and_stays(tmp_path, device):
    null, full = device("null", 3), device("full", 7)
    (tmp_path / "link").symlink_to("null")
    write_whole({null: "x", tmp_path / "link": "x", tmp_path / "file": "whole"})
    with pytest.raises(OSError) as raised:
        write_whole({tmp_path / "file": "new", full: "x"})
    assert raised.value.errno == errno.ENOSPC
    assert all(stat.S_ISCHR(path.lstat().st_mode) for path in (null, full))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "whole", "nothing gets its name where one of them cannot be written"


def test_an_own_descriptor_is_written_to_where_it_stands_and_stays_open(tmp_path):
    with open(tmp_path / "file", "w") as file:
        file.write("before ")
        file.flush()
        (tmp_path / "link").symlink_to(f"/dev/fd/{file.fileno()}")
        write_whole({f"/proc/self/fd/{file.fileno()}": "one "})
        write_whole({tmp_path / "link": "two "})
        file.write("after")
    assert (tmp_path / "file").read_text() == "before one two after"


def test_a_report_to_standard_output_is_written_behind_what_is_there(root, tmp_path):
    with open(tmp_path / "out", "w") as out:
        out.write("before\n")
        out.flush()
        done = subprocess.run([sys.executable, root / "scripts/report.py", root / "tests/data/older_result.json", "--markdown", "-o",
                               "/dev/stdout"], stdout=out, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "report in /dev/stdout\n")
    text = (tmp_path / "out").read_text()
    assert text.startswith("before\n#") and "thread_pool" in text


def test_every_script_writes_its_files_by_this_function(root):
    """What opens a file for writing in scripts/ by itself writes to a pipe, a cgroup, or a copy in a temporary folder."""
    direct = [f"{path.name}: {line.strip()}" for path in (root / "scripts").glob("**/*.py") if path.name != "whole_files.py"
              for line in path.read_text(encoding="utf-8").splitlines() if ".write_text(" in line]
    assert direct == []


def test_the_mode_of_a_file_is_looked_up_without_changing_the_mask(tmp_path):
    before = os.umask(0o022)
    try:
        assert whole_files_.mode_of(tmp_path / "none") == 0o644
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
