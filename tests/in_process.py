"""Runs the scripts of scripts/ within the tests' own process, which saves each call an interpreter and its imports. What is left out
(the first line of a script, its exit status as the system has it) is tested on a few calls of each by a command of its own."""

import contextlib
import dataclasses
import functools
import importlib
import io
import os
import pathlib
import sys
from unittest import mock

import validate


@dataclasses.dataclass
class Done:
    """As of subprocess.run with text=True."""

    returncode: int
    stdout: str
    stderr: str


@functools.lru_cache(maxsize=4)
def shape_of(text):
    """validate.schema() of a file of this text. It takes longer than all else about a file, and most tests have the reference result."""
    return list(schema(validate.File(text)))


schema = validate.schema


def remembered_schema(file):
    return shape_of(file.text) if isinstance(file, validate.File) else schema(file)


def run_script(name, *arguments, cwd=None):
    """What `scripts/NAME ARGUMENTS…` does, in this directory or in `cwd`. An exception that the script lets out goes to the caller."""
    main = importlib.import_module(pathlib.Path(name).stem).main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", [f"scripts/{name}", *map(os.fspath, arguments)]))
        stack.enter_context(mock.patch.object(validate, "schema", remembered_schema))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        if cwd is not None:
            stack.enter_context(contextlib.chdir(cwd))
        try:
            status = main() or 0
        except SystemExit as end:
            status = end.code or 0
    if isinstance(status, str):  # as the interpreter does
        err.write(f"{status}\n")
        status = 1
    return Done(status, out.getvalue(), err.getvalue())
