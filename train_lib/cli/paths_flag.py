"""A flag that takes several paths, whatever is in their names."""

import csv
import os

from absl import flags

# The flags belong to the modules that call `DEFINE_paths`.
flags.disclaim_key_flags()


def DEFINE_paths(
    name: str,
    default: list[str] | None,
    help: str,
    flag_values: flags.FlagValues = flags.FLAGS,
) -> flags.FlagHolder:
    """Defines a flag whose value is a list of paths.

    It may be given several times, and takes several paths separated by commas. A
    comma that belongs to a path stays where that path exists, or is quoted:
    --tasks=a.csv --tasks='birds, 2024.csv' and --tasks='a.csv,"birds, 2024.csv"'.

    Args:
        name: of the flag.
        default: value where it is not given.
        help: text for `--help`.
        flag_values: where to register it.

    Returns:
        its holder; `.value` is a list of str, or the default.
    """
    flag = _PathsFlag(_PathsParser(), flags.CsvListSerializer(","), name, default, help)
    return flags.DEFINE_flag(flag, flag_values)


def quoted(path: str) -> str:
    """`path` as a value of such a flag that is taken as one, existing or not."""
    return '"' + path.replace('"', '""') + '"'


def split(text: str) -> list[str]:
    """Splits one value of the flag at the commas that separate paths."""
    if os.path.exists(text):
        return [text]
    parts = next(csv.reader([text]), [])
    paths, start = [], 0
    while start < len(parts):
        end = next(
            (
                end
                for end in range(len(parts), start, -1)
                if os.path.exists(",".join(parts[start:end]))
            ),
            start + 1,
        )
        path = ",".join(parts[start:end])
        paths.append(path if os.path.exists(path) else path.strip())
        start = end
    return [path for path in paths if path]


class _PathsParser(flags.ArgumentParser):
    """One value of the flag, as a list."""

    def parse(self, argument: str) -> list[str]:
        """The paths of `argument`."""
        return split(argument)

    def flag_type(self) -> str:
        """What a value is."""
        return "comma separated list of paths"


class _PathsFlag(flags.MultiFlag):
    """Gathers the paths of all values in one list."""

    def _parse(self, arguments):
        if arguments is None:
            return None
        given = [arguments] if isinstance(arguments, str) else arguments
        return [path for text in given for path in self.parser.parse(text)]
