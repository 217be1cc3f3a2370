"""The exceptions that scripts answer in one line; any other is a mistake of the project's own, with its traceback."""


class UserError(Exception):
    """A mistake in the configuration, the data or the command line.

    The message is one line that says what is wrong, where (file, line or key) and what would be right. Scripts print it
    without a traceback and exit with code 2.
    """


class RunError(Exception):
    """A run has ended because of something outside of it, such as a process that the operating system has killed.

    The message is one line that says what has ended it and what to do. Scripts print it without a traceback and exit with
    code 1.
    """
