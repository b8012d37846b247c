"""The frame that every command of the project shares.

A command module defines absl flags, a `main()` that returns nothing, and a
`cli()` that calls `command.run(main)`. Exit status: 0 done, 1 a fault of the
program, 2 the user can mend it (a `UserError`, or a flag that does not parse),
130 Ctrl-C.
"""

import logging
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging

from byola_tf.errors import UserError
from train_lib.training.health import Unhealthy
from train_lib.training.interruption import Interrupted


def run(
    main: Callable[[], None],
    argv: Sequence[str] | None = None,
    prepare: Callable[[Sequence[str]], Sequence[str]] = list,
    help_tail: Callable[[], str] = str,
) -> None:
    """Parses the flags, runs `main` and exits.

    Args:
        main: the command; its module's docstring is the head of `--help`.
        argv: program name and arguments; `sys.argv` by default.
        prepare: rewrites the arguments before they are parsed.
        help_tail: makes further text for `--help`.
    """

    def parse(arguments: Sequence[str]) -> Sequence[str]:
        _configure_logging()
        if {"--help", "-help", "-h", "--helpfull"} & set(arguments[1:]):
            print(_help(sys.modules[main.__module__], help_tail()))
            sys.exit(0)
        try:
            return flags.FLAGS(prepare(arguments))
        except UserError as error:
            fail(str(error))
        except (flags.Error, KeyError, AttributeError, ValueError, TypeError) as error:
            fail(f"{str(error).strip(chr(34))} See --help.")

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
        except Unhealthy as error:
            _say(f"stopped: {error}")
            sys.exit(3)
        except Interrupted as error:
            _say(str(error))
            sys.exit(128 + error.signal)
        except KeyboardInterrupt:
            print("Stopped by Ctrl-C.", file=sys.stderr)
            sys.exit(130)

    app.run(guarded, argv=argv, flags_parser=parse)


def required(name: str, value, example: str):
    """Returns a flag's value.

    Raises:
        UserError: it was not given.
    """
    if value in (None, ""):
        raise UserError(
            f"`--{name}` must be given. Received: nothing. E.g. --{name}={example}. "
            "See --help."
        )
    return value


def fail(message: str) -> None:
    """Prints one line to stderr and exits with status 2."""
    _say(f"error: {message}")
    sys.exit(2)


def _say(message: str) -> None:
    print(" ".join(message.split()), file=sys.stderr)


def _configure_logging() -> None:
    """Sends the project's own messages to stderr, plain; quietens others' notes."""
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    for package in ("byola_tf", "train_lib", "hub_export"):
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False


def _help(module, tail: str) -> str:
    parts = [
        (module.__doc__ or "").strip(),
        "Flags:\n" + flags.FLAGS.module_help(module),
        tail,
    ]
    return "\n\n".join(part for part in parts if part)
