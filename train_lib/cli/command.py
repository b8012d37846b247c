"""The frame that every command of the project shares.

A command module defines absl flags, a `main()` that returns nothing, and a
`cli()` that calls `command.run(main)`. Exit status: 0 done, 1 a fault of the
program, 2 the user can mend it (a `UserError`, a flag that does not parse, a full
disk, a missing permission), 130 Ctrl-C, or the status that a `Stopped` carries.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging

from byola_tf.errors import Stopped, UserError
from train_lib.cli import faults, streams
from train_lib.cli.commands import in_this_shell

# Before TensorFlow is imported. 3: TensorFlow 2.17 reports CUDA plugins that it
# registers twice as errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


# of every command: files name a network of the user's own, see backbones.allow
flags.DEFINE_list(
    "allow_code", [], "Networks MODULE:FUNCTION that files may name, with commas."
)


def run(
    main: Callable[[], None],
    argv: Sequence[str] | None = None,
    prepare: Callable[[Sequence[str]], Sequence[str]] = list,
    help_tail: Callable[[], str] = str,
    prints_result: bool = False,
) -> None:
    """Parses the flags, runs `main` and exits.

    A standard stream that cannot be written does not stop `main`.

    Args:
        main: the command; its module's docstring is the head of `--help`.
        argv: program name and arguments; `sys.argv` by default.
        prepare: rewrites the arguments before they are parsed.
        help_tail: makes further text for `--help`.
        prints_result: whether what is printed is the result, so that losing it
            on a full disk is a failure.
    """

    def parse(arguments: Sequence[str]) -> Sequence[str]:
        _configure_logging()
        if {"--help", "-help", "-h", "--helpfull"} & set(arguments[1:]):
            print(_help(sys.modules[main.__module__], help_tail()))
            sys.exit(0)
        return _parse(prepare, arguments)

    def guarded(arguments: Sequence[str]) -> None:
        if len(arguments) > 1:
            fail(
                f"Unexpected argument {arguments[1]!r}: every option is a flag "
                "(`--name=value`). Quote a glob so that the shell leaves it "
                "alone. See --help."
            )
        _guard(_allowing_code(main))
        sys.stdout.flush()
        if prints_result and _lost(sys.stdout.error):
            fail(f"standard output: {faults.describe(sys.stdout.error)}")

    with streams.forgiving_output():
        app.run(guarded, argv=argv, flags_parser=parse)


def _allowing_code(main: Callable[[], None]) -> Callable[[], None]:
    """The command, after what `--allow_code` names is allowed."""

    def allowed() -> None:
        if flags.FLAGS.allow_code:
            from byola_tf.networks import backbones  # late: it imports TensorFlow

            backbones.allow(*flags.FLAGS.allow_code)
        main()

    return allowed


def _parse(prepare: Callable, arguments: Sequence[str]) -> Sequence[str]:
    try:
        return flags.FLAGS(prepare(arguments))
    except UserError as error:
        fail(str(error))
    except Exception as error:
        message = faults.in_config_file(error) or faults.describe(error)
        if message:
            fail(message)
        if isinstance(
            error, flags.Error | KeyError | AttributeError | ValueError | TypeError
        ):
            fail(f"{str(error).strip(chr(34))} See --help.")
        raise


def _guard(main: Callable[[], None]) -> None:
    """Runs `main`; ends with one line and a status where it is not to blame."""
    try:
        main()
    except UserError as error:
        fail(str(error))
    except Stopped as error:
        _say(f"{error.heading}{error}")
        sys.exit(error.status)
    except KeyboardInterrupt:
        _say("Stopped by Ctrl-C.")
        sys.exit(130)
    except Exception as error:
        message = faults.in_config_file(error) or faults.describe(error)
        if not message:
            raise
        fail(message)


def _lost(error: OSError | None) -> bool:
    """Whether output was lost that somebody wanted: a reader may leave (`| head`)."""
    return error is not None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)


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
    print(in_this_shell(" ".join(message.split())), file=sys.stderr)


class _ToStderr(logging.StreamHandler):
    """Writes plain messages to what `sys.stderr` is at that time."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        """The message, with commands as this shell knows them."""
        return in_this_shell(super().format(record))

    @property
    def stream(self):
        """Today's `sys.stderr`."""
        return sys.stderr


_HANDLER = _ToStderr()


def _configure_logging() -> None:
    """Sends the project's own messages to stderr, plain; quietens others' notes."""
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    for package in ("byola_tf", "train_lib", "hub_export"):
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.addHandler(_HANDLER)  # once, however often
        logger.propagate = False


def _help(module, tail: str) -> str:
    parts = [
        (module.__doc__ or "").strip(),
        "Flags:\n" + flags.FLAGS.module_help(module),
        tail,
    ]
    return in_this_shell("\n\n".join(part for part in parts if part))
