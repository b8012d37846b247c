"""The stages of the demo, from sounds to a report."""

import contextlib
import dataclasses
import json
import os
import shutil
import time

from byola_tf import audio, files
from byola_tf.config import Config
from byola_tf.errors import UserError
from hub_export import saved_model
from train_lib.cli import progress
from train_lib.configs import demo as demo_config
from train_lib.demo import contents as demo_contents
from train_lib.demo import page as demo_page
from train_lib.pages import html, text
from train_lib.probe import linear
from train_lib.probe.models import floors
from train_lib.probe.tasks import labelled_folder
from train_lib.synthesis import bank
from train_lib.training import trainer, workdir

CLIPS_PER_CLASS = 40
BANK_SECONDS = 2.0
_NO_END = 1_000_000  # steps: the time budget stops the training
_SHOWN_CLASS = "arpeggio_up"


@dataclasses.dataclass(frozen=True)
class Finished:
    """What the demo leaves: paths, and the results as text."""

    report: str
    model: str
    table: str


class Stages:
    """Prints a line as each stage begins, and keeps their durations."""

    def __init__(self):
        self._began = time.perf_counter()
        self.durations: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def __call__(self, name: str, detail: str = ""):
        began = time.perf_counter()
        minutes, seconds = divmod(int(began - self._began), 60)
        print(f"[{minutes}:{seconds:02d}] {name}{detail} ...", flush=True)
        yield
        self.durations.append((name, time.perf_counter() - began))


def run(
    output: str,
    audio_folder: str | None = None,
    minutes: float = 2.5,
    clips_per_class: int = CLIPS_PER_CLASS,
    config: Config | None = None,
) -> Finished:
    """Runs every stage.

    Args:
        output: folder for the results; made when absent.
        audio_folder: the user's sounds; generated ones when None.
        minutes: time for pre-training.
        clips_per_class: size of the generated bank.
        config: of pre-training; `train_lib/configs/demo.py` by default.

    Raises:
        UserError: the sounds or the output folder cannot be used, or a package
            is missing.
    """
    html.require_packages()
    stages = Stages()
    model = os.path.join(output, "model")
    run_folder = os.path.join(output, "run")
    _check_replaceable(run_folder)
    saved_model.check_output(model)
    if audio_folder is None:
        amount = f"{clips_per_class * len(bank.CLASSES)} sounds"
        with stages("Generating", f" {amount} of {len(bank.CLASSES)} classes"):
            sounds = _generate(output, clips_per_class)
    else:
        with stages("Reading", f" {audio_folder}"):
            sounds = _read_folder(audio_folder, output)
            _say(sounds.description)
    config = config or demo_config.get_config()
    config.data.pattern = sounds.folder
    num_files = len(audio.find_files(sounds.folder))
    # a few files may turn out to be broken
    config.train.batch_size = min(config.train.batch_size, max(2, num_files * 9 // 10))
    with stages("Pre-training", f" for {minutes:g} minutes, without labels"):
        shutil.rmtree(run_folder, ignore_errors=True)
        config.train.seconds, config.train.steps = 60 * minutes, _NO_END
        summary = trainer.pretrain(config, run_folder)
        config.train.steps = summary.steps
    with stages("Exporting", f" to {model}"):
        saved_model.export(run_folder, model)
    with stages("Probing", " the model and two floors with linear classifiers"):
        probes = _probe(sounds, config, model, output)
    with stages("Writing the report"):
        page = os.path.join(output, "report.html")
        contents = demo_contents.assemble(
            sounds, config, output, summary, minutes, probes, stages.durations
        )
        files.write_text(page, demo_page.render(contents))
    return Finished(page, model, demo_contents.table(contents.embeddings_judged))


def _say(text: str) -> None:
    """Prints a line that belongs to the stage above."""
    print(f"       {text}", flush=True)


def _check_replaceable(run_folder: str) -> None:
    """Refuses to delete a folder that is not an earlier run."""
    is_run = os.path.isfile(os.path.join(run_folder, workdir.CONFIG_FILE))
    if os.path.exists(run_folder) and not is_run:
        raise UserError(
            "`--output` must be a new folder or that of an earlier demo. Received: "
            f"{os.path.dirname(run_folder)!r}, in which {run_folder!r} is something "
            "else. Choose another."
        )


def _generate(output: str, clips_per_class: int) -> demo_contents.Sounds:
    folder = os.path.join(output, "bank")
    metadata = bank.write_bank(folder, clips_per_class, seconds=BANK_SECONDS)
    num_clips = clips_per_class * len(bank.CLASSES)
    return demo_contents.Sounds(
        folder=folder,
        metadata=str(metadata),
        unit_seconds=BANK_SECONDS,
        families=bank.CLASSES,
        shown=os.path.join(folder, _SHOWN_CLASS, f"{_SHOWN_CLASS}_000.wav"),
        description=f"{num_clips} generated clips of {BANK_SECONDS:g} s in "
        f"{len(bank.CLASSES)} classes",
    )


def _read_folder(folder: str, output: str) -> demo_contents.Sounds:
    found = labelled_folder.read(folder, ignored=output)
    os.makedirs(output, exist_ok=True)
    metadata = os.path.join(output, "sounds.csv")
    labelled_folder.write_task(found, metadata)
    return demo_contents.Sounds(
        folder=folder,
        metadata=metadata,
        unit_seconds=found.unit_seconds,
        families={},
        shown=os.path.join(folder, found.file_names[0]),
        description=f"{len(found.file_names)} clips in {len(found.classes)} classes, "
        f"{found.unit_seconds:g} s at a time",
    )


def _probe(sounds, config, model, output) -> dict[str, linear.Probe]:
    """Probes the model and the floors; leaves a JSON file of each."""
    models = {
        "trained": model,
        "random": floors.random_encoder(config.seed, config),
        "logmel": floors.LogMelFloor(config),
    }
    probes = {}
    for name, embedder in models.items():
        probes[name] = linear.linear_probe(
            embedder,
            sounds.metadata,
            sounds.folder,
            sounds.unit_seconds,
            model_name=name,
            progress=progress.bar,
        )
        _say(f"{name}: {text.score(probes[name].result, ' %')}")
        path = os.path.join(output, f"probe_{name}.json")
        files.write_text(path, json.dumps(probes[name].result, indent=2) + "\n")
    return probes
