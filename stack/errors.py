"""The one exception a person at the terminal is meant to read."""


class StackError(Exception):
    """Something a person can act on: its text is shown as it is, without a traceback."""
