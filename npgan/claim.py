"""One writer at a time: who writes in a folder, or in a file, holds a lock that its death releases."""

import os
from pathlib import Path
from weakref import WeakValueDictionary

from npgan.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock(handle: int) -> bool | None:
    """Lock an open file or folder until it is closed, or its process dies. False: another has it.

    None where the system has no such locks: Windows, and some network file systems.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


class Claim:
    """The right to write in a folder. While one is alive, other processes get none."""

    def __init__(self, folder: Path):
        self._handle = None
        try:
            self._handle = os.open(folder, os.O_RDONLY)
        except OSError:  # Windows opens no folders
            return
        if lock(self._handle) is False:
            raise DataError(
                f"{folder}: another run is writing in this folder; wait until it ends, or take another --out"
            )

    def __del__(self):
        if self._handle is not None:
            os.close(self._handle)


_claims: WeakValueDictionary[tuple[int, int], Claim] = WeakValueDictionary()


def claim(folder: Path) -> Claim:
    """Claim a folder for this process, for as long as somebody here keeps the Claim.

    Raises DataError where another process has it. Without locks (see `lock`) nobody is kept out; then two runs
    mix their files in one folder, each of which is still whole.
    """
    try:
        found = os.stat(folder)
    except OSError as error:
        raise DataError(f"{folder}: nothing can be written there ({error.strerror})") from None
    place = (found.st_dev, found.st_ino)
    held = _claims.get(place) if found.st_ino else None
    if held is None:
        held = _claims[place] = Claim(folder)
    return held
