"""Files that are opened with care: not every name is that of a file, and not every file is what it seems."""

import math
import os
import stat
import time
from typing import BinaryIO

from npgan.errors import DataError


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a file to read its bytes; DataError if that cannot be, or before it is opened if it is not a file.

    Opening a named pipe waits for somebody who writes into it, and a device may have no end.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path}: cannot be read (it is not a file but a folder, a pipe or a device)")
        if found.st_size == 0:  # so are the files in /proc, some of which never end
            raise DataError(f"{path}: cannot be read (it is empty)")
        return open(path, "rb")
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be that of a file
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


class Rationed:
    """A file that gives only so many bytes, and only for so long, to a decoder that believes what a file claims.

    left: how many bytes it still gives.     seconds: how much processor time may pass until the last of them.
    largest: how many bytes one reading gives at most.     Raises ValueError where a ration is used up, which
    Pillow lets pass.
    """

    def __init__(self, file: BinaryIO, left: int, seconds: float = math.inf, largest: int = 2**62):
        self.file, self.left, self.seconds, self.largest = file, left, seconds, largest
        self._end = time.thread_time() + seconds

    def read(self, count: int | None = -1) -> bytes:
        if time.thread_time() > self._end:
            raise ValueError(f"takes more than {self.seconds:g} seconds to decode")
        count = self.largest if count is None or count < 0 else min(count, self.largest)
        data = self.file.read(min(count, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("its parts take up more room than the file has, or than they should")
        return data

    def __getattr__(self, name: str):  # seek, tell, fileno ...
        return getattr(self.file, name)
