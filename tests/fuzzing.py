"""Mutates files of every format that others may send, and reads each one.

`python -m tests.fuzzing FORMAT COUNT` reads COUNT mutations in this process, which
has little memory and time. Whatever is neither read nor refused by a UserError ends
it with a traceback that names the mutation's number.
"""

import contextlib
import io
import json
import pathlib
import random
import resource
import sys
import tarfile
import tempfile
import zipfile

VALUES = [
    *(None, True, -1, 0, 2**63, 10**40, 1e308, float("nan"), float("inf")),
    *("", "\0", "x" * 1000, "../../etc/passwd", "os:system", [], {}, [[]], {"": {}}),
    [1, 2, 3],
]
MEMORY_BYTES = 6 << 30
SECONDS = 120


def mutate_bytes(content, random_):
    """Flips, cuts, doubles and overwrites parts."""
    content = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 5))):
        if not content:
            break
        place = random_.randrange(len(content))
        how = random_.randrange(5)
        if how == 0:
            content[place] ^= 1 << random_.randrange(8)
        elif how == 1:
            del content[place:]
        elif how == 2:
            content[place:place] = content[place : place + random_.randrange(64)]
        elif how == 3:
            ending = random_.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"))
            content[place : place + 4] = ending
        else:
            del content[place : place + random_.randrange(1, 16)]
    return bytes(content)


def mutate_json(value, random_):
    """Replaces, removes or adds a value somewhere in the tree."""
    places = []

    def walk(node):
        if isinstance(node, dict):
            for name in node:
                places.append((node, name))
                walk(node[name])
        elif isinstance(node, list):
            for index in range(len(node)):
                places.append((node, index))
                walk(node[index])

    tree = json.loads(json.dumps(value))
    walk(tree)
    for _ in range(random_.choice((1, 1, 2))):
        node, name = random_.choice(places)
        how = random_.randrange(4)
        with contextlib.suppress(KeyError, IndexError):
            if how == 0 and isinstance(node, dict):
                node[name + "_"] = node.pop(name)
            elif how == 1:
                del node[name]
            else:
                node[name] = random_.choice(VALUES)
    if random_.random() < 0.05:
        return random_.choice(VALUES)
    return tree


def json_file(value, random_):
    """JSON whose tree or whose text is mutated."""
    if random_.random() < 0.3:
        return mutate_bytes(json.dumps(value).encode(), random_)
    return json.dumps(mutate_json(value, random_)).encode()


def make_config(folder):
    from byola_tf import checkpoint
    from byola_tf.config import Config

    value = json.loads(Config().to_json())

    def read(path):
        checkpoint.read_config(checkpoint._read_text(str(path)), str(path))

    return lambda random_: json_file(value, random_), read


def make_statistics(folder):
    from byola_tf.normalize import Statistics

    value = {"mean": -7.1, "std": 5.0, "num_crops": 100}
    return lambda random_: json_file(value, random_), lambda p: Statistics.load(str(p))


def make_provenance(folder):
    from byola_tf import checkpoint

    value = {"steps": 3, "licence": "mit", "loss": 0.5, "num_files": 3, "name": "x"}
    return lambda random_: json_file(
        value, random_
    ), lambda p: checkpoint._read_provenance(str(p))


def make_pth(folder):
    from hub_export.pytorch import archive
    from tests.conftest import GOLDEN

    with zipfile.ZipFile(GOLDEN / "encoder_v1.pth") as source:
        members = {name: source.read(name) for name in source.namelist()}
    (pickled,) = [name for name in members if name.endswith("data.pkl")]

    def make(random_):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as target:
            for name, part in members.items():
                if name == pickled or random_.random() < 0.02:
                    part = mutate_bytes(part, random_)
                target.writestr(name, part)
        if random_.random() < 0.2:
            return mutate_bytes(content.getvalue(), random_)
        return content.getvalue()

    return make, lambda path: archive.read(str(path))


def make_archive(folder):
    from hub_export.publishing import archive

    model = folder / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(bytes(3000))
    archive.write(str(model), str(folder / "model.tar.gz"))
    with tarfile.open(folder / "model.tar.gz") as tar:
        plain = tar.fileobj
        plain.seek(0)
        content = plain.read()

    def make(random_):
        import gzip

        if random_.random() < 0.3:
            return mutate_bytes((folder / "model.tar.gz").read_bytes(), random_)
        return gzip.compress(mutate_bytes(content, random_), 1)

    return make, lambda path: archive.check_contents(str(path))


def make_checksum(folder):
    from hub_export.publishing import archive

    text = b"a" * 64 + b"  model.tar.gz\n"
    return lambda random_: mutate_bytes(
        text, random_
    ), lambda p: archive._expected_checksum(str(p))


def _shards(folder):
    import numpy as np
    import soundfile

    from train_lib.preparation import sharding

    sounds = folder / "sounds"
    sounds.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).normal(0, 0.1, 20_000)
        soundfile.write(sounds / f"{number}.wav", noise, 16_000)
    return sounds, sharding


def make_index(folder):
    from byola_tf.corpus.shard_format import Index, index_path

    shard = _prepared(folder)
    content = pathlib.Path(index_path(str(shard))).read_bytes()

    def make(random_):
        if random_.random() < 0.3:
            return mutate_bytes(content, random_)
        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as source:
            with zipfile.ZipFile(target, "w") as changed:
                for name in source.namelist():
                    part = source.read(name)
                    if random_.random() < 0.3:
                        part = mutate_bytes(part, random_)
                    changed.writestr(name, part)
        return target.getvalue()

    return make, lambda path: Index.load(str(path))


def make_manifest(folder):
    from byola_tf.corpus import shard_format

    value = json.loads((_prepared(folder).parent / "manifest.json").read_text())

    def read(path):
        path.rename(path.with_name("manifest.json"))
        shard_format.read_manifest(str(path.parent))

    return lambda random_: json_file(value, random_), read


def _prepared(folder):
    import subprocess

    sounds, _ = _shards(folder)
    output = folder / "shards"
    subprocess.run(
        [
            *(sys.executable, "-m", "train_lib.prepare"),
            *(f"--audio={sounds}", f"--output={output}", "--shards=1"),
        ],
        check=True,
        capture_output=True,
    )
    (shard,) = output.glob("*.tfrecord")
    return shard


RESULT = {
    **{"task": "esc10", "model": "m", "mode": "linear", "metric": "accuracy"},
    **{"mean": 0.8, "std": 0.1, "ci95": 0.02, "unit_seconds": 1.0, "num_clips": 9},
    **{"runs": [{"seed": 42, "scores": [0.8]}], "learning_rate": 1e-3},
    **{"classes": {"a": 0.5, "b": 0.9}, "partial": False, "embedding_size": 3},
}


def make_result(folder):
    from train_lib.probe.judging import significance
    from train_lib.probe.report import collection

    def read(path):
        path = path.rename(path.with_suffix(".json"))
        significance.read_result(str(path))
        collection.read(str(path.parent))

    return lambda random_: json_file(RESULT, random_), read


def make_evaluation(folder):
    from hub_export.publishing import model_card

    return lambda random_: json_file(
        RESULT, random_
    ), lambda p: model_card.read_evaluation(str(p))


def make_tflite(folder):
    from hub_export.tflite import metadata

    converted = _tflite(folder)
    facts = {
        **{"name": "m", "description": "d", "version": "1", "licence": "mit"},
        **{"sample_rate": 16_000},
    }
    metadata.write(str(converted), facts)
    content = converted.read_bytes()

    def read(path):
        for reader in (metadata.describe, metadata.facts):
            reader(str(path))

    return lambda random_: mutate_bytes(content, random_), read


def _tflite(folder):
    """A file with one signature, whose input has the name of ours."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8], tf.float32, "waveform")])
        def embed(self, waveform):
            return {"embedding": waveform * 2.0}

    model = Model()
    saved = str(folder / "saved")
    tf.saved_model.save(model, saved, signatures={"embed": model.embed})
    path = folder / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())
    return path


FORMATS = {
    name.removeprefix("make_"): function
    for name, function in list(globals().items())
    if name.startswith("make_")
}


def main(name, count):
    """Reads mutations; ends with status 1 at the first that is neither."""
    from byola_tf.errors import UserError

    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make, read = FORMATS[name](folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        for number in range(count):
            place = folder / f"case_{number}"
            place.mkdir()
            path = place / "file"
            path.write_bytes(make(random.Random(number)))
            try:
                read(path)
            except UserError:
                refused += 1
            except BaseException:
                print(f"{name}: mutation {number}", file=sys.stderr)
                raise
            for left in place.iterdir():
                left.unlink()
    print(f"{name}: {count} mutations, {refused} refused")
    # a mutator that changes nothing that matters would prove nothing
    assert refused > count // 20, f"only {refused} of {count} were refused"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
