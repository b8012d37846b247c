"""Versions of what is installed, under whatever name it was published."""

import importlib.metadata

# TensorFlow is published under several names; each holds the module `tensorflow`.
_OTHER_NAMES = {
    "tensorflow": (
        "tensorflow-cpu",
        "tensorflow-intel",
        "tensorflow-macos",
        "tensorflow-rocm",
        "tensorflow-aarch64",
        "tf-nightly",
        "tf-nightly-cpu",
    ),
}


def installed(*names: str) -> dict[str, str]:
    """Finds the versions of packages.

    Args:
        *names: as they are published, e.g. "scikit-learn".

    Returns:
        name → version, without what is not installed; `tensorflow` stands for
        tensorflow-cpu and its like too.
    """
    versions = {}
    for name in names:
        for published in (name, *_OTHER_NAMES.get(name, ())):
            try:
                versions[name] = importlib.metadata.version(published)
            except importlib.metadata.PackageNotFoundError:
                continue
            break
    return versions
