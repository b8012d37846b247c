"""Which files of a folder or glob are audio files."""

import collections
import dataclasses
import fnmatch
import logging
import os
import re
from collections.abc import Iterator

import tensorflow as tf

from byola_tf.audio.content import log_once
from byola_tf.errors import UserError

logger = logging.getLogger(__name__)

EXTENSIONS = (
    *(".wav", ".flac", ".ogg", ".mp3"),
    *(".opus", ".oga", ".aif", ".aiff", ".w64", ".rf64", ".au", ".caf"),
)
_COMPANIONS = frozenset(  # what lies beside sound and is none
    ["", *".csv .tsv .txt .md .json .jsonl .xml .yaml .yml .html .pdf .rst".split()]
    + ".png .jpg .jpeg .svg .gif .parquet .npz .npy .tfrecord .py .ipynb .zip".split()
)
_NAMED_ENDINGS = 5


@dataclasses.dataclass(frozen=True)
class Found:
    """The files that a folder or glob leads to.

    Attributes:
        paths: the audio files, sorted.
        others: ending, in lower case and with its dot, -> number of the other
            files; "" counts names without an ending.
    """

    paths: list[str]
    others: dict[str, int]

    @property
    def has_other_sounds(self) -> bool:
        """Whether other files may hold sound too."""
        return not _COMPANIONS.issuperset(self.others)

    @property
    def left_out(self) -> str:
        """A sentence for summaries about the other files; "" without any."""
        total = sum(self.others.values())
        if not total:
            return ""
        common = sorted(self.others, key=lambda ending: (-self.others[ending], ending))
        parts = [
            f"{self.others[ending]} {ending or 'without an ending'}"
            for ending in common[:_NAMED_ENDINGS]
        ]
        rest = total - sum(self.others[ending] for ending in common[:_NAMED_ENDINGS])
        parts += [f"{rest} of other endings"] * bool(rest)
        return (
            f"{total} {'file was' if total == 1 else 'files were'} left out by ending "
            f"({', '.join(parts)}). Convert those that hold sound to WAV or FLAC, "
            "e.g. with ffmpeg."
        )


def find_files(pattern: str) -> list[str]:
    """Lists the audio files of a folder or glob; logs how many others may be sound.

    Args:
        pattern: see `find`.

    Returns:
        paths, sorted.

    Raises:
        UserError: see `find`.
    """
    found = find(pattern)
    if found.has_other_sounds:
        log_once(found.left_out)
    return found.paths


def find(pattern: str) -> Found:
    """Finds the audio files of a folder or glob, and counts the other files.

    Globs mean what they mean to Python's `glob.glob(..., recursive=True)`: `*`,
    `?` and `[...]` stay within a path component, `**` stands for any number of
    folders, names that start with a dot are matched only by a component that
    does too, `[[]` is a literal bracket, braces are not expanded. Linked
    folders are followed, but not into a folder they lie in. Beyond that, any
    path that `tf.io.gfile` reads works, and only regular files (and dangling
    links, whose target the decoder will miss) with an audio extension in any
    letter case are listed: no folder or pipe named `x.wav`.

    Args:
        pattern: a file, which is taken whatever its ending, a folder (searched
            recursively) or a glob.

    Returns:
        the files and what was left out.

    Raises:
        UserError: nothing matches; the message says what is there instead.
    """
    if not pattern:
        raise UserError(
            "A folder or glob of audio files must be given. Received: ''. "
            "Pass e.g. --config.data.pattern='sounds/**/*'."
        )
    pattern = pattern.replace(os.sep, "/")
    if _is_folder(pattern):
        root, parts = re.sub(r"(?<=[^:/])/+\Z", "", pattern), ["**", "*"]
    elif _exists(pattern):
        return Found([pattern], {})
    else:
        root, parts = _split(pattern)
    if not _is_folder(root or "."):
        raise UserError(
            f"`pattern` must lead to audio files. Received: {pattern!r}, but "
            f"{root!r} is not a folder. Check the path and quote the glob."
        )
    matches = set(_expand(root, parts, _Lister(), ()))
    found = [path for path in matches if path.lower().endswith(EXTENSIONS)]
    if not found:
        raise UserError(_nothing_found(pattern, root, matches))
    others = collections.Counter(
        os.path.splitext(path)[1].lower() for path in matches.difference(found)
    )
    return Found(sorted(found), dict(others))


def _is_folder(path: str) -> bool:
    # gfile takes no name that is not UTF-8
    return tf.io.gfile.isdir(path) if "://" in path else os.path.isdir(path)


def _exists(path: str) -> bool:
    return tf.io.gfile.exists(path) if "://" in path else os.path.exists(path)


def _nothing_found(pattern: str, root: str, others: set[str]) -> str:
    there = f"{len(others)} other files" if others else "no file"
    example = f" (such as {min(others)!r})" if others else ""
    braces = " Braces are not expanded." if re.search(r"\{.*\}", pattern) else ""
    return (
        f"`pattern` must match at least one audio file ({', '.join(EXTENSIONS)}). "
        f"Received: {pattern!r}, which matches {there}{example}.{braces} "
        f"Use e.g. {os.path.join(root, '**/*')!r}."
    )


def _split(pattern: str) -> tuple[str, list[str]]:
    """Splits a glob into the folder before the first wildcard and the rest."""
    scheme, _, path = pattern.rpartition("://")
    parts = path.split("/")
    first = next((i for i, part in enumerate(parts) if _is_glob(part)), len(parts) - 1)
    root = "/".join(parts[:first]) or ("/" if first else "")
    rest = [part for part in parts[first:] if part]
    # a second "**" adds nothing
    rest = [b for a, b in zip([""] + rest, rest, strict=False) if not a == b == "**"]
    return (f"{scheme}://{root}" if scheme else root), rest


def _is_glob(part: str) -> bool:
    return re.search(r"[*?\[]", part) is not None


class _Lister:
    """Lists folders, each once."""

    def __init__(self):
        self._seen = {}

    def __call__(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and of the files of `folder`."""
        if folder not in self._seen:
            is_local = "://" not in folder
            try:
                names = _list_local(folder) if is_local else _list_remote(folder)
            except (OSError, tf.errors.OpError) as error:
                logger.warning("Left out %r, which cannot be listed: %s", folder, error)
                names = [], []
            self._seen[folder] = names
        return self._seen[folder]


def _list_local(folder: str) -> tuple[list[str], list[str]]:
    folders, files = [], []
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            is_link = entry.is_symlink()
            # os.path answers False where a link leads nowhere or to itself
            if os.path.isdir(entry) if is_link else entry.is_dir():
                folders.append(entry.name)
            elif entry.is_file() if not is_link else not _is_special(entry.path):
                files.append(entry.name)
    return folders, files


def _is_special(path: str) -> bool:
    """Whether something is there that is no regular file, e.g. a pipe."""
    return os.path.exists(path) and not os.path.isfile(path)


def _list_remote(folder: str) -> tuple[list[str], list[str]]:
    folders, files = [], []
    # object stores end the names of folders with a slash; asking them about
    # every object would take hours
    marks_folders = folder.startswith("gs://")
    for name in tf.io.gfile.listdir(folder):
        is_folder = name.endswith("/") or (
            not (marks_folders and name.lower().endswith(EXTENSIONS))
            and tf.io.gfile.isdir(_join(folder, name))
        )
        (folders if is_folder else files).append(name.rstrip("/"))
    return folders, files


def _expand(
    folder: str, parts: list[str], lister: _Lister, above: tuple
) -> Iterator[str]:
    """Yields the files below `folder` that match the components `parts`.

    Args:
        folder: where to look; "" is the working folder.
        parts: components of a glob, at least one.
        lister: lists a folder.
        above: identities of the folders that `**` came through, in which a
            link may lead round in a circle.
    """
    part, rest = parts[0], parts[1:]
    if part == "**":
        identity = _identity(folder)
        if identity in above:
            return
        above = (*above, identity)
        yield from _expand(folder, rest or ["*"], lister, above)
        for name in lister(folder)[0]:
            if not name.startswith("."):
                yield from _expand(_join(folder, name), parts, lister, above)
    elif rest and not _is_glob(part):
        if part in (".", "..") or part in lister(folder)[0]:
            yield from _expand(_join(folder, part), rest, lister, ())
    else:
        names = lister(folder)[0 if rest else 1]
        matches = re.compile(fnmatch.translate(part)).match
        for name in names:
            if matches(name) and (part[0] == "." or name[0] != "."):
                path = _join(folder, name)
                if rest:
                    yield from _expand(path, rest, lister, ())
                else:
                    yield path


def _identity(folder: str):
    if "://" in folder:
        return folder
    status = os.stat(folder or ".")
    return status.st_dev, status.st_ino


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name) if folder else name
