"""Exceptions whose message is all that a user needs."""


class UserError(Exception):
    """A mistake in the configuration, the data or the command line.

    The message is one line that says what is wrong, where (file, line or key) and what would be right. Scripts print it
    without a traceback and exit with code 2.
    """


class LoaderError(Exception):
    """A loader process hangs, died, or found no shared memory: nobody's mistake, but the end of the run.

    The message is one line that names the process, the image and the cause. Scripts print it without a traceback and exit
    with code 1.
    """
