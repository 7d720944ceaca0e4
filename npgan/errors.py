"""The errors of its own that npgan raises."""


class DataError(ValueError):
    """A file, folder or array that cannot be used; the message names it, what was wanted and what came.

    It is one line that any terminal can show, whatever the names of files in it: see `printable`.
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


class TrainingError(ArithmeticError):
    """A training whose losses or weights are no longer finite; the message says where it went wrong."""


class RankError(RuntimeError):
    """Processes that cannot train together; the message says why."""


def printable(text: str) -> str:
    r"""`text` with line breaks, control characters and bytes that are no text written out, as in `\x1b`.

    The name of a file may hold them, and a terminal would obey them.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
