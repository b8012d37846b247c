"""What a place that recordings are kept in offers to a corpus."""

from typing import Protocol

from byola_tf.config import Config
from byola_tf.corpus.crops import CropReader
from byola_tf.progress import Progress


class CorpusSource(Protocol):
    """Recordings that were found, but not opened yet.

    A folder (`folder.Folder`), an audio data set (`tfds.AudioDataset`) and shards
    (`shards.Shards`) are sources.

    Attributes:
        paths: the recordings; their order decides a run's.
        left_out: a sentence about files of other endings, or "".
    """

    paths: list[str]
    left_out: str

    def open(self, config: Config, cache_dir: str, progress: Progress) -> CropReader:
        """Makes the recordings ready for reading.

        Args:
            config: `Config`.
            cache_dir: folder for decoded audio, made when it is needed.
            progress: `Progress` over the recordings.

        Raises:
            UserError: they cannot be read, or the cache cannot be written.
        """
