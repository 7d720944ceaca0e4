"""The errors of its own that npgan raises."""


class DataError(ValueError):
    """A file, folder or array that cannot be used; the message names it, what was wanted and what came."""


class TrainingError(ArithmeticError):
    """A training whose losses or weights are no longer finite; the message says where it went wrong."""
