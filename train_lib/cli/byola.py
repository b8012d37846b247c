"""`byola COMMAND`: the one entry to every command.

Imports nothing but the table before it knows which command is meant, so that
help and a mistyped word are answered at once.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from train_lib.cli import commands, streams

# Words of the launcher alone.
_OF_THE_LAUNCHER = ("test", "run", "python", "setup")


def help_text() -> str:
    """All commands, by what a person wants to do."""
    program = commands.program()
    lines = [
        "byola: audio embeddings from a folder of sounds, with BYOL-A in TensorFlow.",
        "",
        f"  {program} COMMAND [--flag=value ...]",
        f"  {program} COMMAND --help",
    ]
    for title, group in commands.GROUPS.items():
        lines += ["", title]
        lines += [f"  {command.name:16}{command.summary}" for command in group]
    return "\n".join(lines)


def unknown(word: str) -> str:
    """What to say to a word that is no command: the nearest ones."""
    import difflib

    known = list(commands.COMMANDS)
    if os.environ.get(commands.LAUNCHER):
        known += _OF_THE_LAUNCHER
    asked = word.replace("_", "-").lower()
    close = [name for name in known if len(asked) > 2 and name.startswith(asked)]
    close += difflib.get_close_matches(asked, known, n=3, cutoff=0.5)
    close = list(dict.fromkeys(close))[:3]
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"There is no command {word!r}.{hint} See {commands.program()} --help."


def run(argv: Sequence[str]) -> None:
    """Runs a command; returns or exits as it does.

    Args:
        argv: program, name of the command, its arguments.
    """
    word = argv[1] if len(argv) > 1 else "--help"
    if word in ("--help", "-help", "-h", "help"):
        with streams.forgiving_output():  # `byola --help | head`
            print(help_text())
        return
    if word == "--version":
        import byola_tf

        print(byola_tf.__version__)
        return
    command = commands.COMMANDS.get(word)
    if command is None:
        print(f"error: {unknown(word)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"{argv[0]} {word}", *argv[2:]]
    module = importlib.import_module(command.module)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{command.module}.__main__")
    module.cli()


def main() -> None:
    """Entry point of `byola`."""
    try:
        run(sys.argv)
    except KeyboardInterrupt:  # while it was being imported
        sys.exit(130)


if __name__ == "__main__":
    main()
