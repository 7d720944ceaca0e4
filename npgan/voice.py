"""What npgan prints: lines that no name can disturb, and that end no training because nobody can read them."""

import atexit
import errno
import os
import sys
from contextlib import suppress

from npgan.backend import DeviceError
from npgan.errors import DataError, RankError, TrainingError

UNWRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EIO)  # what writing to the output may end with


def prepare() -> None:
    """Make the output fit for a lesson: closed streams swallow, odd characters are spelled out, errors are a line."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what the locale cannot write
    sys.excepthook = report
    atexit.unregister(_flush)
    atexit.register(_flush)


def printable(text: object) -> str:
    """The text in one line, with what would steer a terminal (escape sequences) spelled out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def say(line: str, end: str = "\n") -> None:
    """Print at once. Where it cannot be written, the disk of a log being full, go on in silence.

    Raises BrokenPipeError where the reader has gone: that is a wish to stop.
    """
    try:
        print(line, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        warn(f"the output cannot be written ({error.strerror or error}); going on without it")


def warn(text: object) -> None:
    """Print a warning in one line, to those who read them."""
    with suppress(OSError, ValueError):
        print(f"\nwarning: {printable(text)}", file=sys.stderr, flush=True)


def silence(stream: str = "stdout") -> None:
    """Let all further output go nowhere: a line that waits in a buffer would fail again, the last at exit."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, getattr(sys, stream).fileno())
        os.close(nowhere)


def report(kind, error, trace) -> None:
    """Print in one line what is wrong with the user's data, device or run; leave other errors their traceback."""
    if issubclass(kind, KeyboardInterrupt):
        return
    unwritten = issubclass(kind, OSError) and error.filename is None and error.errno in UNWRITTEN
    with suppress(OSError, ValueError):
        if unwritten:
            silence()
            print(f"error: the output cannot be written ({error.strerror or error})", file=sys.stderr)
        elif issubclass(kind, DataError | RankError | TrainingError | DeviceError):
            print(f"error: {printable(error)}", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)


def _flush() -> None:
    """Before Python's own last flush, which complains where nobody reads."""
    for stream in ("stdout", "stderr"):
        try:
            getattr(sys, stream).flush()
        except (OSError, ValueError):
            silence(stream)
