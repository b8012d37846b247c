"""The published tasks by name, from the untouched folders of their data sets."""

import difflib
import os

from byola_tf.errors import UserError
from train_lib.probe.tasks.presets import environment, music, own_data, speech
from train_lib.probe.tasks.presets.preset import Preset

PRESETS = {
    preset.name: preset
    for preset in (*environment.PRESETS, *speech.PRESETS, *music.PRESETS)
}


def find(task: str, source: str) -> Preset:
    """What `--task` means for a source folder.

    Args:
        task: name of a preset; path of a metadata CSV; or a name of the user's,
            for SOURCE/name.csv, otherwise for a source with a sub-folder a
            class.
        source: the folder.

    Raises:
        UserError: none of these.
    """
    if task in PRESETS:
        return PRESETS[task]
    if task.lower().endswith(".csv"):
        return own_data.from_metadata(task)
    if not task or os.path.basename(task) != task or task.startswith("."):
        raise UserError(
            "`task` must be a name or the path of a .csv file. Received: "
            f"{task!r}. See `byola tasks list`."
        )
    table = os.path.join(source, f"{task}.csv")
    if os.path.exists(table):
        return own_data.from_metadata(table)
    if near := difflib.get_close_matches(task.lower(), PRESETS, 1, cutoff=0.75):
        raise UserError(
            f"`task` must be a preset, a CSV or a name of your own. Received: {task!r}"
            f", which is very near to {near[0]!r}. Use that, or choose another name "
            "for your own data."
        )
    return own_data.from_folder(task, source)
