"""One process at a time writes a file or a folder; the others are told who does.

    with ownership.owned("sounds.parquet", "`--output`"):  # replaced as a whole
        ...
    with ownership.owned_folder("runs/a", "`--workdir`"):  # written in place
        ...

The lock is the operating system's (filelock): it ends with its process, however
that ends, so a stale one cannot be. Who holds it stands in a note beside it. What a
killed owner left of a replacement (see `files`) is cleaned by the next owner.
"""

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import socket
from collections.abc import Iterator

import filelock
import psutil

from byola_tf import files
from byola_tf.errors import UserError

logger = logging.getLogger(__name__)

_SILENT_SECONDS = 10.0


class OwnedError(UserError):
    """Somebody else is writing there."""


@dataclasses.dataclass
class Owner:
    """Who writes a path.

    Attributes:
        pid: of the process.
        host: the machine it runs on.
        since: when it began, local time, ISO 8601.
    """

    pid: int
    host: str
    since: str

    def __str__(self):
        return f"process {self.pid} on {self.host} since {self.since}"


@contextlib.contextmanager
def owned(path: str, what: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Makes this process the only one that writes a path.

    For a file, and for a folder that is replaced as a whole: the lock lies beside
    it, PATH.lock, and is gone afterwards. `PATH.*.tmp` of a killed owner is removed;
    `PATH.*.old` takes its place again where PATH is missing.

    Args:
        path: local, existing or not, in an existing folder. A remote one has no lock.
        what: begins the message, such as "`--output`".
        wait_seconds: how long to wait for another owner; a wait of more than ten
            seconds is logged.

    Raises:
        OwnedError: another process, or another thread, is writing there.
        OSError: the lock cannot be made, e.g. in a folder that is read-only.
    """
    path = os.fspath(path)
    if "://" in path:
        yield
        return
    path = os.path.abspath(path)
    with _locked(f"{path}.lock", path, what, wait_seconds):
        files.recover(path, is_owner=True)
        yield


@contextlib.contextmanager
def owned_folder(path: str, what: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Makes this process the only one that writes into a folder.

    For a folder that grows in place, such as a work directory: the lock lies in it,
    `.lock`, so that its parent may be read-only. The folder may be removed or
    moved while it is owned.

    Args:
        path: local; made if absent. A remote one has no lock.
        what: see `owned`.
        wait_seconds: see `owned`.

    Raises:
        OwnedError: another process, or another thread, is writing there.
        OSError: it cannot be made or written.
    """
    path = os.fspath(path)
    if "://" in path:
        yield
        return
    path = os.path.abspath(path)
    with _locked(os.path.join(path, ".lock"), path, what, wait_seconds):
        yield


def owner(path: str) -> Owner | None:
    """Who is writing a path; None where nobody is, or nobody left a note.

    Args:
        path: as in `owned` or `owned_folder`.
    """
    path = os.path.abspath(path)
    places = f"{path}.lock", os.path.join(path, ".lock")
    return next(filter(None, map(_living, places)), None)


@contextlib.contextmanager
def _locked(lock_path: str, path: str, what: str, wait_seconds: float):
    lock = _acquire(lock_path, path, what, wait_seconds)
    note = _note_path(lock_path)
    try:
        now = datetime.datetime.now().isoformat(" ", "seconds")
        mine = Owner(os.getpid(), socket.gethostname(), now)
        with open(note, "w") as file:
            json.dump(dataclasses.asdict(mine), file)
        yield
    finally:
        # removed while the lock is held: who comes later makes a new file, who waits
        # for this one finds that it has no name any more and begins again
        for left in (note, lock_path):
            with contextlib.suppress(OSError):
                os.remove(left)
        lock.release()


def _acquire(lock_path: str, path: str, what: str, wait_seconds: float):
    """A held lock, whoever may remove its folder meanwhile."""
    lock = filelock.FileLock(lock_path, thread_local=False)
    silent = min(wait_seconds, _SILENT_SECONDS)
    for seconds in (silent, wait_seconds - silent):
        try:
            _acquire_in_folder(lock, lock_path, seconds)
            return lock
        except filelock.Timeout:
            if seconds == silent and wait_seconds > silent:
                logger.warning("Waiting for %s, written by %s", path, _who(lock_path))
    raise OwnedError(
        f"{what} must be written by one process at a time. Received: {path!r}, which "
        f"is being written by {_who(lock_path)}. Wait until it has ended, or choose "
        "another path."
    )


def _acquire_in_folder(lock, lock_path: str, seconds: float) -> None:
    for last in (False, False, True):
        os.makedirs(os.path.dirname(lock_path), exist_ok=True)
        try:
            lock.acquire(timeout=seconds)
            return
        except FileNotFoundError:  # its owner removed the folder just now
            if last:
                raise


def _who(lock_path: str) -> str:
    found = _living(lock_path)
    return str(found) if found else "another process"


def _living(lock_path: str) -> Owner | None:
    """The owner in a note, unless it is known to have ended."""
    try:
        with open(_note_path(lock_path), encoding="utf-8") as file:
            found = Owner(**json.load(file))
        here = found.host == socket.gethostname()
        return None if here and not psutil.pid_exists(found.pid) else found
    except (OSError, ValueError, TypeError, OverflowError):
        return None


def _note_path(lock_path: str) -> str:
    return f"{lock_path}.owner"
