r"""Decodes and resamples a folder of sounds once, into TFRecord shards.

  byola prepare --audio=sounds --output=shards
  byola pretrain --config=byola_v2 --workdir=runs/first \
      --config.data.pattern=shards

Training from the shards gives the losses of training from the folder. Folders
may be remote (gs://...). After an interruption, a full disk or a change of some
files the same command makes the missing shards only.

A recording longer than --piece_seconds is stored in pieces that share
--overlap_seconds with the next, so that a training crop (unit_seconds, 0.95 s)
always lies within one piece.
"""

import os

from absl import flags

from train_lib.cli import command

AUDIO = flags.DEFINE_string("audio", None, "Folder or glob of audio files.")
OUTPUT = flags.DEFINE_string("output", None, "Folder for the shards.")
SHARDS = flags.DEFINE_integer(
    "shards", 0, "Number of shards; 0 makes them about 256 MB large.", lower_bound=0
)
WORKERS = flags.DEFINE_integer(
    "workers", os.cpu_count(), "Threads that decode.", lower_bound=1
)
SAMPLE_RATE = flags.DEFINE_integer("sample_rate", 16000, "Hz.", lower_bound=1)
PAYLOAD = flags.DEFINE_enum(
    "payload",
    "pcm",
    ["pcm", "flac"],
    "16-bit samples as they are, or packed: half the size, slower to read.",
)
PIECE_SECONDS = flags.DEFINE_float("piece_seconds", 10.0, "Length of a piece.")
OVERLAP_SECONDS = flags.DEFINE_float(
    "overlap_seconds", 1.0, "What a piece shares with the next one."
)
LABELS = flags.DEFINE_enum(
    "labels", "none", ["none", "folder"], "Whether a file's folder is its label."
)
METADATA = flags.DEFINE_string(
    "metadata", None, "CSV with labels: columns file_name, label."
)
EXCLUDE = flags.DEFINE_string(
    "exclude", "", "Text file: paths to leave out (see byola corpus)."
)
MAX_HOURS = flags.DEFINE_float(
    "max_hours",
    100.0,
    "Longest recording that is read; a longer one is left out and listed.",
    lower_bound=0.0,
)
DECODER = flags.DEFINE_enum(
    "decoder",
    "auto",
    ["auto", "soundfile", "tensorflow_io"],
    "What decodes plain WAV files; auto is soundfile. The samples are the same.",
)


def main() -> None:
    """Runs `sharding.prepare` and prints what it made."""
    audio = command.required("audio", AUDIO.value, "sounds")
    output = command.required("output", OUTPUT.value, "shards")
    from train_lib.preparation import sharding

    manifest = sharding.prepare(
        audio,
        output,
        sharding.make_layout(
            SAMPLE_RATE.value, PIECE_SECONDS.value, OVERLAP_SECONDS.value, PAYLOAD.value
        ),
        num_shards=SHARDS.value,
        num_workers=WORKERS.value,
        labels_from_folders=LABELS.value == "folder",
        metadata=METADATA.value,
        exclude=EXCLUDE.value,
        max_hours=MAX_HOURS.value,
        decoder=DECODER.value,
    )
    print(sharding.describe(manifest, output))


def cli() -> None:
    """Entry point of `byola prepare`."""
    command.run(main)


if __name__ == "__main__":
    cli()
