"""The exception for faults that the user can mend."""


class UserError(ValueError):
    """Bad input: one sentence with the rule, what was received, the way out.

    Commands print its message and exit with status 2; anything else is a
    fault of the program and exits with status 1.
    """
