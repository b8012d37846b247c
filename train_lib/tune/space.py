"""The search space: which configuration fields are tried, over which ranges.

A JSON object that maps a field to its range. A field is named as on the command
line without `config.`; an element of a tuple has its index behind a dot:

    {"augment.mixup_ratio": {"low": 0.0, "high": 0.6},
     "augment.crop_mel_range.0": {"low": 0.3, "high": 1.0},
     "train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": true},
     "encoder.num_blocks": {"low": 1, "high": 3},
     "augment.blocks": {"choices": [["mixup", "resize_crop"], ["resize_crop"]]}}
"""

import json
import math
from collections.abc import Mapping

from byola_tf import foreign
from byola_tf.config import Config
from byola_tf.errors import UserError
from train_lib.cli.config_flag import flatten

# the parameters of the published chain, which the paper tuned with Optuna
AUGMENTATION = {
    "augment.mixup_ratio": {"low": 0.0, "high": 0.6},
    "augment.canvas_time_scale": {"low": 1.0, "high": 2.0},
    "augment.crop_mel_range.0": {"low": 0.3, "high": 1.0},
    "augment.crop_mel_range.1": {"low": 1.0, "high": 2.0},
    "augment.crop_time_range.0": {"low": 0.3, "high": 1.0},
    "augment.crop_time_range.1": {"low": 1.0, "high": 2.0},
    "augment.fade_range": {"low": 0.0, "high": 2.0},
}


def read(path: str) -> dict:
    """Reads a search space, or the built-in one named "augmentation".

    Raises:
        UserError: the file or an entry of it is not as it has to be.
    """
    if path == "augmentation":
        return AUGMENTATION
    try:
        space = foreign.read_json(path, "A space")
    except UserError as error:
        raise UserError(
            "`--space` must be 'augmentation' or a JSON file of fields and ranges. "
            f"Received: {path!r} ({error}). See --help for an example."
        ) from error
    if not isinstance(space, dict) or not space:
        raise UserError(
            "`--space` must map fields to ranges. "
            f"Received: {path!r} with {type(space).__name__}. See --help."
        )
    known = flatten(Config())
    for name, choice in space.items():
        _check(name, choice, known)
    return space


def suggest(trial, space: Mapping[str, Mapping]) -> dict:
    """Draws a value for every field from an Optuna trial."""
    values = {}
    for name, choice in space.items():
        if "choices" in choice:
            # Optuna stores text and numbers only
            texts = [json.dumps(value) for value in choice["choices"]]
            values[name] = json.loads(trial.suggest_categorical(name, texts))
        elif isinstance(choice["low"], int) and isinstance(choice["high"], int):
            values[name] = trial.suggest_int(name, choice["low"], choice["high"])
        else:
            log = bool(choice.get("log"))
            values[name] = trial.suggest_float(
                name, choice["low"], choice["high"], log=log
            )
    return values


def _check(name: str, choice, known: Mapping) -> None:
    field, _, index = name.rpartition(".")
    default = known.get(name)
    if name not in known and index.isdigit() and isinstance(known.get(field), tuple):
        default = dict(enumerate(known[field])).get(int(index))
    if default is None and name not in known:
        raise UserError(
            "`--space` must name fields of the configuration. "
            f"Received: {name!r}. byola pretrain --help lists them."
        )
    if isinstance(choice, dict) and isinstance(choice.get("choices"), list):
        if choice["choices"]:
            return
    elif isinstance(choice, dict) and {"low", "high"} <= set(choice):
        low, high = choice["low"], choice["high"]
        numbers = all(
            isinstance(bound, int | float) and math.isfinite(bound)
            for bound in (low, high)
        )
        if numbers and low < high and (low > 0 or not choice.get("log")):
            return
    raise UserError(
        f"The range of {name!r} must be low < high (both above zero with log), or a "
        f"list of choices. Received: {json.dumps(choice)}."
    )
