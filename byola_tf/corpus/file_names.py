"""The files that a table's names lead to, however the names are written.

macOS writes an accented letter as two characters (NFD) where others write one
(NFC), Windows writes backslashes, and a spreadsheet may add or lose a blank at
an end. A name that is there letter by letter always comes first.
"""

import collections
import os
import posixpath
import unicodedata
from collections.abc import Iterable

from byola_tf.errors import UserError


def comparable(name: str) -> str:
    """The form in which two names are compared: NFC."""
    return unicodedata.normalize("NFC", name)


class FileNames:
    """Finds names among those that exist.

    Args:
        names: those that exist.
    """

    def __init__(self, names: Iterable[str]):
        self._names = set(names)
        self._alike = [collections.defaultdict(list) for _ in _FORMS]
        for name in self._names:
            for form, found in zip(_FORMS, self._alike, strict=True):
                found[form(name)].append(name)

    def find(self, name: str) -> str | None:
        """The name that exists; None if there is none like it.

        Raises:
            UserError: it could be several.
        """
        if name in self._names:
            return name
        for form, alike in zip(_FORMS, self._alike, strict=True):
            found = alike.get(form(name), ())
            if len(found) > 1:
                raise UserError(
                    f"`file_name` must name one file. Received: {name!r}, which could "
                    f"be {' or '.join(map(repr, sorted(found)[:3]))}. Write it as the "
                    "file is named."
                )
            if found:
                return found[0]
        return None


def _path_form(name: str) -> str:
    return posixpath.normpath(comparable(name.replace("\\", "/")))


def _stripped_form(name: str) -> str:
    return "/".join(map(str.strip, _path_form(name).split("/")))


_FORMS = (_path_form, _stripped_form)


class FilesBelow:
    """Finds files below a local folder; folders are listed when needed.

    Args:
        folder: that the names are relative to.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._listed: dict[str, FileNames] = {}

    def find(self, name: str) -> str | None:
        """The relative path of a file as it is on disk; None if it is absent.

        Raises:
            UserError: it could be several.
        """
        if os.path.isfile(os.path.join(self._folder, name)):
            return name
        for form in dict.fromkeys((name, name.replace("\\", "/"))):
            path = self._follow(form.split("/"))
            if path and os.path.isfile(os.path.join(self._folder, path)):
                return path
        return None

    def _follow(self, parts: list[str]) -> str | None:
        """Goes down folder by folder."""
        path = ""
        for part in parts:
            if part in (".", ""):
                continue
            found = part if part == ".." else self._list(path).find(part)
            if found is None:
                return None
            path = os.path.join(path, found)
        return path

    def _list(self, path: str) -> FileNames:
        if path not in self._listed:
            try:
                names = os.listdir(os.path.join(self._folder, path))
            except OSError:
                names = []  # what lies below is absent
            self._listed[path] = FileNames(names)
        return self._listed[path]
