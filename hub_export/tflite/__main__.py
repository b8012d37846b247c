"""Turns an exported model into TFLite files for phones, and proves them.

  byola tflite --model=runs/model --output=runs/mobile

Writes float32, float16 and dynamic-range files for windows of --seconds and for any
length (waveform in, embedding out), and an 8-bit encoder with its float front end.
--flavours=gpu writes a float16 encoder whose every operator a GPU delegate has, and
the float front end that goes before it, on the processor.
Every file is run with LiteRT against the model before --output gets its place;
report.json and report.md say how near, how large and how fast each one is. They are
run with TensorFlow's own tf.lite.Interpreter too: the report warns of a file that it
gets wrong. A file makes plausible vectors of samples that are NaN: refuse them first.

With --probe_metadata and --probe_audio the linear probe is run on windows of
--seconds too: once with the model, once with each flavour, all with the statistics
that are in the files (--mean and --std set others).
"""

from absl import flags

from train_lib.cli import command, progress

MODEL = flags.DEFINE_string("model", None, "Exported model.")
OUTPUT = flags.DEFINE_string("output", None, "Folder of the files; replaced if one.")
FLAVOURS = flags.DEFINE_list(
    "flavours", "float32,float16,dynamic,int8", "Some of these and gpu, with commas."
)
SECONDS = flags.DEFINE_float("seconds", 1.0, "Length of the fixed window.")
CALIBRATION = flags.DEFINE_string(
    "calibration", None, "Folder or glob of audio for int8; generated sounds if none."
)
CLIPS = flags.DEFINE_string(
    "clips", None, "Folder or glob of audio to prove with, beside generated sounds."
)
MEAN = flags.DEFINE_float("mean", None, "Of your corpus's log-mels, with --std.")
STD = flags.DEFINE_float("std", None, "Of your corpus's log-mels, with --mean.")
PROBE_METADATA = flags.DEFINE_string("probe_metadata", None, "CSV of a probe task.")
PROBE_AUDIO = flags.DEFINE_string("probe_audio", None, "Folder of its audio.")


def main() -> None:
    """Converts, proves and prints the table."""
    from byola_tf import normalize
    from byola_tf.errors import UserError

    try:
        from hub_export.tflite import bundle
    except ImportError as error:
        raise UserError(
            "Proving TFLite files needs a package that is not installed. Received: "
            f"no {error.name}. Install it: pip install 'byola-tf[export]'."
        ) from error

    options = bundle.Options(
        flavours=tuple(dict.fromkeys(FLAVOURS.value)),
        seconds=SECONDS.value,
        calibration=CALIBRATION.value,
        clips=CLIPS.value,
        statistics=normalize.optional_statistics(MEAN.value, STD.value),
    )
    report = bundle.write(
        command.required("model", MODEL.value, "runs/model"),
        command.required("output", OUTPUT.value, "runs/mobile"),
        options,
        _generate,
        _make_probe(),
        progress.bar,
    )
    print(bundle.table(report))
    print(f"\nWrote {OUTPUT.value}; {bundle.REPORT_FILE} has the details.")


def _generate(seed: int, num_samples: int, sample_rate: int) -> dict:
    """A clip of every class of the synthetic bank, float32 [num_samples]."""
    import numpy as np

    from train_lib.synthesis import bank

    seconds = max(num_samples / sample_rate, 0.25)
    clips = {}
    for index, name in enumerate(bank.CLASSES):
        rng = np.random.default_rng([seed, index])
        clips[name] = bank.generate(name, rng, seconds, sample_rate)[:num_samples]
    return clips


def _make_probe():
    """The linear probe as `bundle.write` takes it; None if not wanted."""
    from byola_tf.errors import UserError

    metadata, audio = PROBE_METADATA.value, PROBE_AUDIO.value
    if not metadata and not audio:
        return None
    if not metadata or not audio:
        raise UserError(
            "`--probe_metadata` and `--probe_audio` must be given together. Received: "
            f"{metadata!r} and {audio!r}."
        )
    from train_lib.probe import linear
    from train_lib.probe.models import audio_model

    def accuracy(model, name: str) -> dict:
        # a function: unlike an embedder, it keeps the statistics of the files
        probe = linear.linear_probe(
            audio_model.FunctionModel(model, model.sample_rate, name),
            metadata,
            audio,
            SECONDS.value,
            progress=progress.bar,
        )
        result = probe.result
        return {"accuracy": result["mean"], "accuracy_ci95": result["ci95"]}

    return accuracy


def cli() -> None:
    """Entry point of the command."""
    command.run(main)


if __name__ == "__main__":
    cli()
