"""The frame that every command of the project shares.

A command module defines absl flags, a `main()` that returns nothing, and ends
with `command.run(main)`. Exit status: 0 done, 1 a fault of the program, 2 the
user can mend it (a `UserError`, or a flag that does not parse), 130 Ctrl-C.
"""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from byola_tf.errors import UserError


def run(main: Callable[[], None], argv: Sequence[str] | None = None) -> None:
    """Parses the flags, runs `main` and exits.

    Args:
        main: the command; its module's docstring is the head of `--help`.
        argv: program name and arguments; `sys.argv` by default.
    """

    def guarded(arguments: Sequence[str]) -> None:
        if len(arguments) > 1:
            fail(
                f"Unexpected argument {arguments[1]!r}: every option is a flag "
                "(`--name=value`). Quote a glob so that the shell leaves it "
                "alone. See --help."
            )
        try:
            main()
        except UserError as error:
            fail(str(error))
        except KeyboardInterrupt:
            print("Stopped by Ctrl-C.", file=sys.stderr)
            sys.exit(130)

    app.run(guarded, argv=argv, flags_parser=_parse_flags)


def fail(message: str) -> None:
    """Prints one line to stderr and exits with status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
        main_module = sys.modules["__main__"]
        print((main_module.__doc__ or "").strip())
        print("\nFlags:\n" + flags.FLAGS.module_help(main_module))
        sys.exit(0)
    try:
        return flags.FLAGS(argv)
    except (flags.Error, KeyError, AttributeError, ValueError, TypeError) as error:
        fail(f"{str(error).strip(chr(34))} See --help.")
