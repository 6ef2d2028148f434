"""Files that are there whole, or as they were. What is no regular file (a device, a pipe) is written through and never replaced."""

import errno
import os
import stat
import tempfile

MOST_LINKS = 40  # as many as the kernel follows: path_resolution(7)


def target_of(path):
    """What `path` leads to with every symbolic link followed, also to a file that is not there yet: a path, or the number of this process's own
    descriptor (/dev/stdout, /dev/fd/N). Raises OSError."""
    at = os.path.abspath(path)
    for _ in range(MOST_LINKS + 1):
        folder, name = os.path.split(at)
        folder = os.path.realpath(folder)
        if folder == f"/proc/{os.getpid()}/fd" and name.isdecimal():
            return int(name)
        if not os.path.islink(at):
            return at
        at = os.path.join(folder, os.readlink(at))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


def is_special(target):
    """Whether it is a descriptor, or there and neither a regular file nor a folder."""
    if isinstance(target, int):
        return True
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def mode_of(path):
    """The permissions that a file written to `path` has: those of the file that is there, or those of any new file."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def write_through(target, content):
    """Writes `content` to a special file, or to a descriptor, which stays open."""
    descriptor = os.dup(target) if isinstance(target, int) else os.open(target, os.O_WRONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def write_whole(contents):
    """Writes all files, or none: `contents` has for each path its bytes, or its text. Each is on disk under another name in the same folder,
    which must be there, before the first gets its own. Symbolic links are followed, and stay. Raises OSError, and leaves nothing behind."""
    waiting, special = [], []
    try:
        for path, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            target = target_of(path)
            if is_special(target):
                special.append((target, data))
                continue
            if os.path.isdir(target):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
            folder, name = os.path.split(target)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            waiting.append((temporary, target))
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode_of(target))
        for target, data in special:
            write_through(target, data)
        while waiting:
            os.replace(*waiting[0])
            del waiting[0]
    finally:
        for temporary, _ in waiting:
            os.unlink(temporary)
