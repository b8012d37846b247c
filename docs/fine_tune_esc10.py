"""From `hub.load` to a fine-tuned classifier of environmental sounds.

    ./byola python docs/fine_tune_esc10.py MODEL ../shared/data/esc10

MODEL is what hub_export.export wrote; the second folder has the clips and
esc10.csv (`file_name,label,fold`). First the usual quick way: embed every clip
once with `hub.load` and train a linear head on the embeddings. Then the same head
on top of `byola_tf.HubLayer`, everything trained together. Both are measured on
the clips of one fold, which no training sees.
"""

import argparse
import csv
import os
import time

import keras
import numpy as np
import tensorflow_hub as hub

import byola_tf

BATCH_SIZE = 16


def read_clips(folder, sample_rate):
    """Reads the task; 5-second clips, labels as numbers, and folds."""
    with open(os.path.join(folder, "esc10.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    waveform = np.zeros((len(rows), 5 * sample_rate), np.float32)
    for clip, row in zip(waveform, rows, strict=True):
        path = os.path.join(folder, row["file_name"])
        samples = byola_tf.audio.load(path, sample_rate)[: len(clip)]
        clip[: len(samples)] = samples
    classes, labels = np.unique([row["label"] for row in rows], return_inverse=True)
    return waveform, labels, np.array([int(row["fold"]) for row in rows]), classes


def compile_classifier(model, learning_rate):
    """Compiles a model of [batch, class] scores."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model


def main():
    """Trains the head, then everything, and prints both accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="folder of an exported model")
    parser.add_argument("data", help="folder of ESC-10")
    parser.add_argument("--fold", type=int, default=5, help="held out (default 5)")
    parser.add_argument("--epochs", type=int, default=4, help="of fine-tuning")
    parser.add_argument("--output", default="esc10.keras", help="classifier to write")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    began = time.monotonic()

    model = hub.load(options.model)
    waveform, labels, folds, classes = read_clips(options.data, sample_rate=16000)
    train, test = folds != options.fold, folds == options.fold

    batches = np.array_split(waveform, len(waveform) // 20)
    embedding = np.concatenate([model(batch) for batch in batches])
    head = keras.Sequential(
        [
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Dense(len(classes)),
        ]
    )
    compile_classifier(head, 1e-3).fit(
        embedding[train], labels[train], epochs=40, verbose=0
    )
    frozen = head.evaluate(embedding[test], labels[test], verbose=0)[1]
    print(f"frozen encoder, linear head: {frozen:.1%}", flush=True)

    # what the head was trained on must stay: normalisation of encoder and head
    encoder = byola_tf.HubLayer(options.model, trainable=True, inference_mode=True)
    head.layers[0].trainable = False
    classifier = keras.Sequential([keras.Input((None,)), encoder, head])
    steps = options.epochs * -(-np.count_nonzero(train) // BATCH_SIZE)
    # without the slow start, Adam's first steps undo what pre-training has learnt
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 5, warmup_target=1e-5, warmup_steps=steps // 5
    )
    compile_classifier(classifier, learning_rate).fit(
        waveform[train],
        labels[train],
        batch_size=BATCH_SIZE,
        epochs=options.epochs,
        verbose=2,
    )
    tuned = classifier.evaluate(waveform[test], labels[test], 20, verbose=0)[1]
    print(f"everything fine-tuned: {tuned:.1%}")

    classifier.save(options.output)
    reloaded = keras.saving.load_model(options.output, safe_mode=False)
    scores = reloaded.predict(waveform[test][:1], verbose=0)
    print(
        f"{options.output} calls the first held-out clip {classes[scores.argmax()]!r}; "
        f"it is {classes[labels[test][0]]!r}. {time.monotonic() - began:.0f} s in all."
    )


if __name__ == "__main__":
    main()
