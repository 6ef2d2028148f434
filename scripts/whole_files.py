"""Files that are there whole, or as they were."""

import os
import tempfile


def write_whole(contents):
    """Writes all files, or none: `contents` has for each path its bytes, or its text. Each is on disk under another name in the same folder,
    which must be there, before the first gets its own. Raises OSError, and leaves nothing behind."""
    waiting = []
    try:
        for path, content in contents.items():
            folder, name = os.path.split(os.path.abspath(path))
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            waiting.append((temporary, path))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
        while waiting:
            os.replace(*waiting[0])
            del waiting[0]
    finally:
        for temporary, _ in waiting:
            os.unlink(temporary)
