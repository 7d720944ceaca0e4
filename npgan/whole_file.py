"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from npgan.errors import DataError

PARTIAL = ".partial"  # at the end of the name while a file is being written


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write, which takes the name `path` only once it is complete and on the disk.

        with whole_file(path) as file:
            file.write(...)

    It is written under another name, flushed from all buffers (fsync) and renamed, which replaces an older file
    in one stroke. Whatever happens in between (an error, a full disk, a power cut), `path` is the old file or
    the new one, never a part. Raises DataError where it cannot be written.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        partial.unlink(missing_ok=True)  # of a process that was killed
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
        raise


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too; systems that cannot (Windows) do it in their own time."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
