"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """A mistake in the configuration, the data or the command line.

    The message is one line that says what is wrong, where (file, line or key) and what would be right. Scripts print it
    without a traceback and exit with code 2.
    """
