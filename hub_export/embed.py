"""Embeds a folder of recordings into a table: one row a file, or a frame.

  python -m hub_export.embed --model=MODEL --audio=sounds/ --output=sounds.parquet

Searches folders recursively for WAV, FLAC, Ogg and MP3 files of any rate. The
table has the columns path, start_s, end_s and embedding; with --frames a row
every 40 ms. An .npz file holds the same columns as arrays. Files that cannot be
read are left out, listed, and written to OUTPUT.errors.csv.
"""

from absl import flags

from hub_export import corpus_embedding
from train_lib import command, progress

MODEL = flags.DEFINE_string("model", None, "Exported model or checkpoint.")
AUDIO = flags.DEFINE_string("audio", None, "Folder, glob or file to embed.")
OUTPUT = flags.DEFINE_string("output", None, "Table to write: .parquet or .npz.")
FRAMES = flags.DEFINE_bool("frames", False, "A row a frame instead of a row a file.")


def main() -> None:
    """Embeds, writes the table and says what was left out."""
    summary = corpus_embedding.embed_corpus(
        command.required("model", MODEL.value, "MODEL"),
        command.required("audio", AUDIO.value, "sounds/"),
        command.required("output", OUTPUT.value, "sounds.parquet"),
        frames=FRAMES.value,
        progress=progress.bar,
    )
    print(
        f"Wrote {OUTPUT.value}: {summary.num_rows} rows of {summary.embedding_size} "
        f"from {summary.num_files} files ({summary.audio_seconds / 3600:.2f} h)."
    )
    if summary.errors:
        print(
            f"{len(summary.errors)} files were left out; see "
            f"{corpus_embedding.error_path(OUTPUT.value)}. The first: "
            f"{next(iter(summary.errors.values()))}"
        )


def cli() -> None:
    """Entry point of `byola-embed`."""
    command.run(main)


if __name__ == "__main__":
    cli()
