"""The results of a folder, read and checked."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from byola_tf.errors import UserError
from train_lib.pages import text
from train_lib.probe.report import checking, published

PATTERN = "**/*.json"


@dataclasses.dataclass(frozen=True)
class Result:
    """What one file holds.

    Attributes:
        path: of the file.
        task: name.
        model: short name, unlike that of every other model.
        mode: "linear", "knn", "few_shot" or "finetune"; "robustness" for
            results of `byola robustness`.
        data: the JSON.
    """

    path: str
    task: str
    model: str
    mode: str
    data: Mapping


@dataclasses.dataclass(frozen=True)
class Collection:
    """Every result of a folder.

    Attributes:
        results: of the linear probe first by model, then by task, in the order
            of `models` and `tasks`.
        models: names, the best average of the shown tasks first.
        tasks: names, those of the paper first and in its order.
        titles: what to call a task.
        left_out: why a file is no result, by its path.
    """

    results: Sequence[Result]
    models: Sequence[str]
    tasks: Sequence[str]
    titles: Mapping[str, str]
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def of(self, mode: str, task: str | None = None) -> list[Result]:
        """The results of one mode, on one task or on all."""
        return [
            result
            for result in self.results
            if result.mode == mode and task in (None, result.task)
        ]

    def find(self, model: str, task: str, mode: str = "linear") -> Result | None:
        """One result, None where there is none."""
        for result in self.results:
            if (result.model, result.task, result.mode) == (model, task, mode):
                return result
        return None


def read(folder: str) -> Collection:
    """Reads every JSON file below a folder.

    A file that is no result is left out, and named in `left_out`.

    Args:
        folder: with results of `byola probe` and
            `byola robustness`.

    Raises:
        UserError: no such folder, no result in it, or two of the same model,
            task and mode.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f"`results` must be a folder. Received: {folder!r}, which is "
            f"{'a file' if os.path.exists(folder) else 'not there'}. Give the folder "
            "with the JSON files of byola probe."
        )
    loaded, left_out = _load(_find(folder))
    names = _short_names({_identity(data) for data in loaded.values()})
    results = [
        Result(path, data["task"], names[_identity(data)], _mode(data), data)
        for path, data in loaded.items()
    ]
    _check_twins(results)
    tasks = _order_tasks({result.task for result in results})
    models = _order_models(results)
    results.sort(
        key=lambda result: (models.index(result.model), tasks.index(result.task))
    )
    titles = {task: published.title(task) for task in tasks}
    return Collection(results, models, tasks, titles, left_out)


def _find(folder: str) -> list[str]:
    paths, others = [], []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            kind = paths if name.endswith(".json") else others
            kind.append(os.path.join(parent, name))
    if not paths:
        shown = [os.path.relpath(path, folder) for path in others[:5]]
        there = ", ".join(shown) + (", ..." if len(others) > 5 else "")
        raise UserError(
            f"`results` must hold files {PATTERN}. Received: {folder!r}, which holds "
            f"{there or 'no files'}. Write some: byola probe "
            f"... --output={os.path.join(folder, 'model_task.json')}"
        )
    return paths


def _load(paths: Sequence[str]) -> tuple[dict[str, dict], dict[str, str]]:
    """The results by path, and why the other files are none."""
    loaded, left_out = {}, {}
    for path in paths:
        try:
            loaded[path] = checking.read(path)
        except UserError as error:
            left_out[path] = str(error)
    if not loaded:
        first = next(iter(left_out.values()))
        raise UserError(
            f"No file of `results` is a result ({text.count(left_out, 'file')} read). "
            f"The first: {first}"
        )
    return loaded, left_out


def _mode(data: Mapping) -> str:
    return "robustness" if "clean" in data else data.get("mode") or "linear"


def _identity(data: Mapping) -> tuple[str, str]:
    """A model's full name, and what was done to it."""
    changes = []
    if data.get("pooling"):
        changes.append(data["pooling"])
    if data.get("layers"):
        changes.append(" + ".join(map(str, data["layers"])))
    if data.get("model_seed") not in (None, 42):
        changes.append(f"seed {data['model_seed']}")
    return str(data["model"]), ", ".join(changes)


def _short_names(identities: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The shortest ends of paths that tell all models apart."""
    full = {model for model, _ in identities}
    short = {model: _shorten(model, full) for model in full}
    return {
        (model, changes): f"{short[model]} ({changes})" if changes else short[model]
        for model, changes in identities
    }


def _shorten(model: str, others: set[str]) -> str:
    parts = _parts(model)
    for count in range(1, len(parts) + 1):
        end = parts[-count:]
        if end[0].isdigit():  # a version: more is needed to know the model
            continue
        if sum(_parts(other)[-count:] == end for other in others) == 1:
            return "/".join(end)
    return model


def _parts(model: str) -> list[str]:
    return [part for part in model.split("/") if part]


def _check_twins(results: Sequence[Result]) -> None:
    seen = {}
    for result in results:
        key = (result.model, result.task, result.mode)
        if key in seen:
            raise UserError(
                "There must be one result of a model, a task and a mode. Received: "
                f"{result.mode} of {result.model!r} on {result.task!r} in "
                f"{seen[key]!r} and in {result.path!r}. Move one of them elsewhere."
            )
        seen[key] = result.path


def _order_tasks(tasks: set[str]) -> list[str]:
    known = [*published.NINE_TASKS, "fsd50k", "as20k"]
    first = [task for task in known if task in tasks]
    return first + sorted(tasks - set(first))


def _order_models(results: Sequence[Result]) -> list[str]:
    """The model with most tasks first, then with the best mean."""
    scores = {result.model: [] for result in results}
    for result in results:
        if result.mode == "linear":
            scores[result.model].append(result.data["mean"])
    return sorted(
        scores,
        key=lambda model: (
            -len(scores[model]),
            -sum(scores[model]) / max(len(scores[model]), 1),
            model,
        ),
    )
