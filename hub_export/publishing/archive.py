"""Packs an exported model into one checksummed file that `hub.load` opens."""

import gzip
import hashlib
import os
import tarfile
import uuid

from byola_tf import files
from byola_tf.errors import UserError

SUFFIX = ".tar.gz"


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
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
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
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
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
        with open(f"{path}.sha256") as file:
            expected = file.read().split()[0]
        if digest != expected:
            raise UserError(
                f"{path!r} must have the SHA-256 {expected} that lies beside it. "
                f"Received: {digest}. It is damaged: copy it again."
            )
    return digest


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
