"""What the demo says in its report: results, facts, commands, one clip."""

import dataclasses
import os
import platform
import shlex
from collections.abc import Sequence

import numpy as np

import byola_tf
from byola_tf import audio, checkpoint, normalize
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.cli import commands
from train_lib.demo import drawings, page
from train_lib.pages import text
from train_lib.training import workdir


@dataclasses.dataclass(frozen=True)
class Sounds:
    """What the demo trains and probes on.

    Attributes:
        folder: the audio.
        metadata: CSV of the probe.
        unit_seconds: length of the probe's crops.
        families: class -> family; empty for the user's own sounds.
        shown: file of which the report shows two views.
        description: in a few words.
    """

    folder: str
    metadata: str
    unit_seconds: float
    families: dict[str, str]
    shown: str
    description: str


def assemble(
    sounds: Sounds,
    config: Config,
    output: str,
    summary: workdir.Summary,
    minutes: float,
    probes: dict,
    durations: Sequence[tuple[str, float]],
) -> page.DemoContents:
    """Gathers what the page shows.

    Args:
        sounds: what was trained and probed on.
        config: of the training.
        output: the demo's folder, with the work directory `run`.
        summary: of the training.
        minutes: time that it was given.
        probes: "trained", "random" and "logmel" -> `linear.Probe`.
        durations: (stage, seconds).
    """
    trained = probes["trained"]
    run_folder = os.path.join(output, "run")
    rows = _rows(probes, summary, minutes)
    return page.DemoContents(
        title="BYOL-A demo: sounds in, embedding out",
        lead=_lead(rows, sounds, summary),
        embeddings_judged=rows,
        train_log=workdir.read_log(run_folder),
        clip=_clip(sounds, config, run_folder),
        embeddings=trained.embeddings,
        random_embeddings=probes["random"].embeddings,
        labels=trained.labels,
        classes=trained.classes,
        families=sounds.families,
        confusion_matrix=trained.result["confusion_matrix"],
        stages=durations,
        facts=_facts(sounds, config, summary, trained.result),
        commands=_commands(sounds, config, output),
        versions=trained.result["versions"],
    )


def _clip(sounds: Sounds, config: Config, run_folder: str) -> drawings.ShownClip:
    """The loudest crop of the shown file and two views of it.

    The backgrounds of its views are crops of other files.
    """
    others = audio.find_files(sounds.folder)
    others = others[:: max(1, len(others) // 16)]
    paths = [sounds.shown, *(path for path in others if path != sounds.shown)]
    crops = np.stack([_loudest_crop(path, config) for path in paths])
    statistics = normalize.Statistics.load(
        os.path.join(run_folder, checkpoint.STATISTICS_FILE)
    )
    log_mel = normalize.normalize(
        byola_tf.log_mel_spectrogram(crops, config.frontend), statistics
    )
    views = byola_tf.make_views(log_mel, log_mel[1:], [config.seed, 3], config.augment)
    frontend = config.frontend
    return drawings.ShownClip(
        name=os.path.basename(sounds.shown),
        waveform=crops[0],
        sample_rate=frontend.sample_rate,
        log_mel=log_mel[0].numpy(),
        views=(views[0][0].numpy(), views[1][0].numpy()),
        hop_seconds=frontend.hop_length / frontend.sample_rate,
    )


def _loudest_crop(path: str, config: Config) -> np.ndarray:
    """The unit crop of most energy, float32 [samples]; silence if unreadable."""
    length = config.unit_samples
    try:
        waveform = audio.load(path, config.frontend.sample_rate)
    except UserError:
        return np.zeros(length, np.float32)
    waveform = np.pad(waveform, (0, max(0, length - len(waveform))))
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return waveform[start : start + length]


def _rows(
    probes: dict, summary: workdir.Summary, minutes: float
) -> list[page.JudgedEmbedding]:
    sizes = {name: probe.result["embedding_size"] for name, probe in probes.items()}
    return [
        page.JudgedEmbedding(
            "Trained encoder",
            f"{summary.steps} steps in {minutes:g} minutes, without labels; "
            f"{sizes['trained']} dimensions",
            probes["trained"].result,
            is_model=True,
        ),
        page.JudgedEmbedding(
            "Untrained encoder",
            f"floor: the same network with random weights; {sizes['random']} "
            "dimensions",
            probes["random"].result,
        ),
        page.JudgedEmbedding(
            "Log-mel statistics",
            "floor: mean and standard deviation over time of every mel bin; "
            f"{sizes['logmel']} dimensions",
            probes["logmel"].result,
        ),
    ]


def _lead(rows, sounds: Sounds, summary: workdir.Summary) -> str:
    trained, untrained, log_mel = (text.percent(row.result["mean"]) for row in rows)
    return (
        f"{sounds.description[0].upper()}{sounds.description[1:]}. After "
        f"{summary.steps} steps of pre-training without labels, a linear classifier "
        f"recognises {trained} % of unseen clips, against {untrained} % with "
        f"the untrained encoder and {log_mel} % with plain log-mel statistics."
    )


def _facts(sounds, config: Config, summary: workdir.Summary, result: dict) -> dict:
    return {
        "sounds": sounds.description,
        "crops seen": f"{summary.samples} of {config.data.unit_seconds:g} s "
        f"({summary.hours:.1f} h, {summary.epochs:.0f} epochs)",
        "speed of training": f"{summary.samples_per_s:.0f} crops/s",
        "last loss": f"{summary.loss:.3f}",
        "batch size": str(config.train.batch_size),
        "embedding": f"{result['embedding_size']} dimensions",
        "seed": str(config.seed),
        "processors": f"{os.cpu_count()} ({platform.machine()})",
    }


def _commands(sounds: Sounds, config: Config, output: str) -> list[tuple[str, str]]:
    quoted = {
        "audio": shlex.quote(sounds.folder),
        "csv": shlex.quote(sounds.metadata),
        "run": shlex.quote(os.path.join(output, "run")),
        "model": shlex.quote(os.path.join(output, "model")),
    }
    probe = (
        f"--metadata={quoted['csv']} --audio={quoted['audio']} "
        f"--unit_seconds={sounds.unit_seconds:g}"
    )
    return [
        (
            "pre-train; in a new --workdir from the beginning, in this one further",
            f"{commands.invocation('pretrain')} --config=demo "
            f"--workdir={quoted['run']} \\\n"
            f"    --config.data.pattern={quoted['audio']} "
            f"--config.train.batch_size={config.train.batch_size} "
            f"--config.train.steps={config.train.steps}",
        ),
        (
            "export to a TF-Hub model",
            f"{commands.invocation('export')} --workdir={quoted['run']} "
            f"--output={quoted['model']}",
        ),
        (
            "probe it; --model=logmel and --model=random are the floors (random is "
            "the full-size encoder of the paper)",
            f"{commands.invocation('probe')} --model={quoted['model']} \\\n"
            f"    {probe} --output=probe.json",
        ),
        (
            "embed any folder",
            f"{commands.invocation('embed')} --model={quoted['model']} --audio=DIR "
            "--output=embeddings.npz",
        ),
    ]


def table(rows: Sequence[page.JudgedEmbedding]) -> str:
    """The results as a few lines of text."""
    lines = [("embedding", "accuracy of a linear classifier")]
    lines += [(row.name, row.accuracy) for row in rows]
    return text.aligned(lines, width=20)
