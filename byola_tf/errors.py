"""Exceptions that end a command: what the user can mend, and what was asked for."""


class UserError(ValueError):
    """Bad input: one sentence with the rule, what was received, the way out.

    Commands print its message and exit with status 2; anything else is a
    fault of the program and exits with status 1.
    """


class Stopped(RuntimeError):
    """Work ended early, in good order, with an exit status of its own.

    Derive a class for each reason. Commands print `heading` and the message on
    one line and exit with `status`.

    Attributes:
        status: exit status of the command.
        heading: what the printed line begins with.
    """

    status = 1
    heading = ""
