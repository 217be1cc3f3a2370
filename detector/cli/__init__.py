"""The command line: one table of commands, Hydra composes their options, a user's error is answered in one line.

Nothing outside of this package imports it.
"""
