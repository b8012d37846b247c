r"""Examines a folder of sounds before training: the corpus doctor.

  byola corpus --audio=sounds --report=sounds.html \
      --exclude_list=exclude.txt

Finds broken, silent, non-finite, duplicate, clipped and narrow-band files,
offsets, and identical audio between the splits or folds of a metadata CSV;
computes the mean and standard deviation that training will use; suggests batch
size and epochs. Writes a page (OUT.html), the same as data (OUT.json), and the
list of files to leave out, which training takes as

  --config.data.exclude=exclude.txt

Problems in the corpus are no failure: the exit status is 0.
"""

import os

from absl import flags

from train_lib.cli import command

AUDIO = flags.DEFINE_string("audio", None, "Folder or glob of audio files.")
REPORT = flags.DEFINE_string("report", None, "Page to write, OUT.html.")
METADATA = flags.DEFINE_multi_string(
    "metadata",
    [],
    "CSV with file_name, fold or split, and maybe label, to search for leaks; may "
    "be given several times.",
)
EXCLUDE_LIST = flags.DEFINE_string(
    "exclude_list", None, "Text file to write: the files to leave out."
)
WORKERS = flags.DEFINE_integer(
    "workers", os.cpu_count() or 1, "Files examined at the same time.", lower_bound=1
)
MAX_HOURS = flags.DEFINE_float(
    "max_hours",
    100.0,
    "Longest recording that is read; a longer one counts as broken.",
    lower_bound=0.0,
)


def main() -> None:
    """Runs `doctor.report.run` and prints its summary."""
    audio = command.required("audio", AUDIO.value, "sounds")
    page = command.required("report", REPORT.value, "sounds.html")
    from train_lib.doctor import report

    print(
        report.run(
            audio,
            page,
            METADATA.value,
            EXCLUDE_LIST.value or "",
            WORKERS.value,
            MAX_HOURS.value,
        )
    )


def cli() -> None:
    """Entry point of `byola corpus`."""
    command.run(main)


if __name__ == "__main__":
    cli()
