"""Embeds a folder of recordings into a table: a row a file, a segment or a frame.

  byola embed --model=MODEL --audio=sounds/ --output=sounds.parquet

Searches folders recursively for WAV, FLAC, Ogg and MP3 files of any rate and
length. The table, in the order of the sorted paths, has the columns path, start_s,
end_s, model, front_end_hash and embedding; with --segment_seconds=3 a row for each
3 seconds (the last one of a file is shorter), with --frames a row every 40 ms. An
.npz file holds the same as arrays, model and front_end_hash once.

Files that cannot be used are left out and listed in OUTPUT.errors.csv with the
reason; the exit status is 0 as long as one could be used. An interrupted run goes
on where it was when it is started again: what is finished is kept in OUTPUT.parts
until the table is complete. Memory grows neither with the files nor their number.
"""

from absl import flags

from train_lib.cli import command

MODEL = flags.DEFINE_string("model", None, "Exported model or checkpoint.")
AUDIO = flags.DEFINE_string("audio", None, "Folder, glob or file to embed.")
OUTPUT = flags.DEFINE_string("output", None, "Table to write: .parquet or .npz.")
FRAMES = flags.DEFINE_bool("frames", False, "A row a frame instead of a row a file.")
SEGMENT_SECONDS = flags.DEFINE_float(
    "segment_seconds", None, "A row for each piece of this length."
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16"],
    "What the encoder computes in; bfloat16 is faster where the hardware has it.",
)
BATCH_SECONDS = flags.DEFINE_float(
    "batch_seconds", 32.0, "Audio that is embedded at a time, seconds."
)
WORKERS = flags.DEFINE_integer(
    "workers", 2, "Threads that decode files.", lower_bound=1
)


def main() -> None:
    """Embeds, writes the table and says what was left out."""
    from byola_tf import hardware
    from hub_export.tables import corpus

    options = corpus.Options(
        frames=FRAMES.value,
        segment_seconds=SEGMENT_SECONDS.value,
        precision=PRECISION.value,
        batch_seconds=BATCH_SECONDS.value,
    )
    if options.precision == "bfloat16":
        hardware.warn_of_emulated_bfloat16()
    summary = corpus.embed_corpus(
        command.required("model", MODEL.value, "MODEL"),
        command.required("audio", AUDIO.value, "sounds/"),
        command.required("output", OUTPUT.value, "sounds.parquet"),
        options,
        WORKERS.value,
        _bar,
    )
    print(
        f"Wrote {OUTPUT.value}: {summary.num_rows} rows of {summary.embedding_size} "
        f"from {summary.num_files} files ({summary.audio_seconds / 3600:.2f} h)."
    )
    if summary.num_resumed:
        print(f"{summary.num_resumed} files were finished by an earlier run.")
    if summary.errors:
        print(
            f"{len(summary.errors)} files were left out; see "
            f"{corpus.error_path(OUTPUT.value)}. The first: "
            f"{next(iter(summary.errors.values()))}"
        )
    if summary.doubts:
        print(
            f"{len(summary.doubts)} files may be incomplete; see "
            f"{corpus.error_path(OUTPUT.value)}. The first: "
            f"{next(iter(summary.doubts.values()))}"
        )
    if summary.left_out:
        print(summary.left_out)


def _bar(entries, total: int, description: str):
    """A `Progress` that shows how many seconds of audio a second takes."""
    from train_lib.cli import progress

    seconds = 0.0
    with progress.bar(None, total, description, unit="file") as bar:
        for entry in entries:
            seconds += entry.seconds
            rate = seconds / max(bar.format_dict["elapsed"], 1e-3)
            bar.set_postfix_str(f"{rate:.0f} s of audio/s", refresh=False)
            bar.update()
            yield entry


def cli() -> None:
    """Entry point of `byola embed`."""
    command.run(main)


if __name__ == "__main__":
    cli()
