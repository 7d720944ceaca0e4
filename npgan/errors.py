"""The one error of its own that npgan raises."""


class DataError(ValueError):
    """A file, folder or array that cannot be used; the message names it, what was wanted and what came."""
