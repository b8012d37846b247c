"""Packs an exported model into one checksummed file that `hub.load` opens."""

import gzip
import hashlib
import os
import re
import tarfile
import zlib

from byola_tf import files, foreign
from byola_tf.errors import UserError

SUFFIX = ".tar.gz"
MAX_UNPACKED_BYTES = 4 << 30  # a published model has 25 MB
MAX_MEMBERS = 10_000


def write(model: str, path: str) -> str:
    """Packs a model; the same files give the same bytes.

    Beside `path` lies its checksum, `path`.sha256, in the format of sha256sum.

    Args:
        model: folder of the exported model; its content, saved_model.pb among
            it, is the root of the archive, as TensorFlow Hub expects.
        path: file to write or replace; ends in `.tar.gz`.

    Returns:
        SHA-256 of the archive, hexadecimal.
    """
    with files.replacing(path) as temporary:
        with (
            open(temporary, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed,
            tarfile.open(
                fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT
            ) as tar,
        ):
            for name in _contents(model):
                tar.add(os.path.join(model, name), name, False, filter=_anonymous)
        digest = checksum(temporary)
        files.write_text(f"{path}.sha256", f"{digest}  {os.path.basename(path)}\n")
    return digest


def checksum(path: str) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: str) -> str:
    """Compares an archive with the checksum beside it.

    Returns:
        the checksum; of the file itself where none lies beside it.

    Raises:
        UserError: they differ, or the archive is absent.
    """
    if not os.path.isfile(path):
        raise UserError(f"An archive must be a file. Received: {path!r}: no such file.")
    digest = checksum(path)
    if os.path.isfile(f"{path}.sha256"):
        expected = _expected_checksum(f"{path}.sha256")
        if digest != expected:
            raise UserError(
                f"{path!r} must have the SHA-256 {expected} that lies beside it. "
                f"Received: {digest}. It is damaged: copy it again."
            )
    return digest


def _expected_checksum(path: str) -> str:
    """The SHA-256 in a file of sha256sum or shasum, in either letter case."""
    content = foreign.read_bytes(path, "A checksum", 1 << 16)
    words = content.decode("utf-8-sig", errors="replace").split()
    if not words or not re.fullmatch(r"\\?[0-9a-fA-F]{64}", words[0]):
        raise UserError(
            f"A .sha256 file must begin with 64 hexadecimal digits. Received: "
            f"{path!r}, which does not. Copy it again, or delete it to load "
            "the archive unchecked."
        )
    return words[0].lstrip("\\").lower()


def check_contents(path: str) -> None:
    """Refuses an archive that is no packed model, before anything is unpacked.

    Raises:
        UserError: it is damaged; it unpacks to more than MAX_UNPACKED_BYTES or to
            more than MAX_MEMBERS files; or it holds links, devices, or paths that
            leave its folder.
    """
    total = 0
    try:
        with (
            gzip.open(path) as plain,
            tarfile.open(fileobj=plain, mode="r|", tarinfo=_ShortHeader) as tar,
        ):
            for number, member in enumerate(tar):
                total += max(member.size, 0)
                reason = None
                if number >= MAX_MEMBERS:
                    reason = f"has more than {MAX_MEMBERS} members"
                elif total > MAX_UNPACKED_BYTES:
                    reason = f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB"
                elif not (member.isfile() or member.isdir()):
                    reason = f"holds {member.name!r}, neither a file nor a folder"
                elif _leaves_its_folder(member.name):
                    reason = f"holds {member.name!r}, which leaves its folder"
                if reason:
                    raise UserError(
                        "An archive must hold a model and no more. Received: "
                        f"{path!r}, which {reason}. Pack the model again."
                    )
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"An archive must be a whole .tar.gz. Received: {path!r}: {error}. "
            "Copy it again."
        ) from error


class _ShortHeader(tarfile.TarInfo):
    """A member whose long name is not that long: tarfile reads it into memory."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        """Reads one header block."""
        member = super().frombuf(buf, encoding, errors)
        if not (member.isfile() or member.isdir()) and member.size > 1 << 20:
            raise tarfile.ReadError("a header of more than 1 MiB")
        return member


def _leaves_its_folder(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]


def check_output(path: str) -> None:
    """Refuses to replace an archive that has no checksum, so is not ours.

    Raises:
        UserError: there is one.
    """
    if os.path.exists(path) and not os.path.isfile(f"{path}.sha256"):
        raise UserError(
            f"The archive must be a new file or an older one of ours. Received: "
            f"{path!r}, which exists without a .sha256 beside it. Move it away, or "
            "pass --noarchive."
        )


def register() -> None:
    """Teaches `hub.load` to open archives on this machine.

    By itself tensorflow-hub opens folders (`file://` or a path) and archives
    behind `http://`, `https://` and `gs://`, but no archive in a file. After
    this call `hub.load("file:///models/model.tar.gz")` verifies the checksum,
    unpacks into hub's cache (TFHUB_CACHE_DIR) and loads.
    """
    from tensorflow_hub import registry, resolver

    class FileArchiveResolver(resolver.Resolver):
        """Archives of the local file system."""

        def is_supported(self, handle):
            is_file = handle.startswith("file://") or "://" not in handle
            return is_file and handle.endswith(SUFFIX)

        def __call__(self, handle):
            path = handle.removeprefix("file://")
            cache = resolver.tfhub_cache_dir(use_temp=True)
            folder = resolver.create_local_module_dir(cache, verify(path))
            check_contents(path)

            def unpack(_, destination):
                with open(path, "rb") as file:
                    manager = resolver.DownloadManager(handle)
                    return manager.download_and_uncompress(file, destination)

            return resolver.atomic_download(handle, unpack, folder)

    # the newest resolver is asked first
    registry.resolver.add_implementation(FileArchiveResolver())


def _contents(model: str) -> list[str]:
    """Folders and files relative to `model`, sorted."""
    names = []
    for parent, folders, leaves in os.walk(model):
        for name in (*folders, *leaves):
            names.append(os.path.relpath(os.path.join(parent, name), model))
    return sorted(names)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member
