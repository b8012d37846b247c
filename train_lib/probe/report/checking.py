"""Whether a file is a result that the report can show.

A result may be of an older version, torn, or somebody else's. What the report reads
is checked here, field by field, so that nothing behind it has to.
"""

from collections.abc import Callable, Mapping
from typing import Any

from byola_tf import foreign

_WHAT = "A result of byola probe or byola robustness"
_MAX_BYTES = 256 << 20  # the predictions of large test sets
_MAX_TEXT = 10_000
_Check = Callable[[Any], bool]


def read(path: str) -> dict:
    """Reads a result.

    Raises:
        UserError: it cannot be read, is no result, or has a field that is not as
            the probe writes it.
    """
    data = foreign.read_json(path, _WHAT, _MAX_BYTES)
    if not isinstance(data, dict):
        raise foreign.refused(path, _WHAT, "it is no JSON object")
    required, optional = _ROBUSTNESS if "clean" in data else _PROBE
    if absent := [name for name in required if name not in data]:
        raise foreign.refused(path, _WHAT, f"it is without {', '.join(absent)}")
    for name, check in {**optional, **required}.items():
        may_be_none = name in optional and data.get(name) is None
        if not (may_be_none or check(data[name])):
            raise foreign.refused(path, _WHAT, f"its {name!r} is not as it is written")
    if not _fits(data):
        reason = "its classes do not fit its confusion matrix or its map"
        raise foreign.refused(path, _WHAT, reason)
    return data


def _number(value) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= 1e15


def _positive(value) -> bool:
    return _number(value) and value > 0


def _fraction(value) -> bool:
    return _number(value) and 0 <= value <= 1 + 1e-6


def _count(value) -> bool:
    return _number(value) and isinstance(value, int) and value >= 0


def _text(value) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT


def _optional(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _list(check: _Check, length: int | None = None) -> _Check:
    return lambda value: (
        isinstance(value, list)
        and (length is None or len(value) == length)
        and all(map(check, value))
    )


def _mapping(check: _Check, key: _Check = _text) -> _Check:
    return lambda value: (
        isinstance(value, dict)
        and all(map(key, value))
        and all(map(check, value.values()))
    )


def _object(required: Mapping = {}, **optional: _Check) -> _Check:
    return lambda value: (
        isinstance(value, dict)
        and all(
            name in value and check(value[name]) for name, check in required.items()
        )
        and all(
            value.get(name) is None or check(value[name])
            for name, check in optional.items()
        )
    )


def _fits(data: Mapping) -> bool:
    """Whether matrix and map are of the result's classes."""
    number = len(data.get("classes") or ())
    matrix, shown = data.get("confusion_matrix"), data.get("map")
    if matrix and not (
        len(matrix) == number and all(len(row) == number for row in matrix)
    ):
        return False
    return not shown or (
        len(shown["points"]) == len(shown["labels"])
        and all(label < number for label in shown["labels"])
    )


_SUMMARY = {"std": _number, "ci95": _number}
_RATES = _list(_object({"learning_rate": _positive, "valid_score": _number}))
_CURVE = _list(
    _object({"learning_rate": _positive, "valid_mean": _number, "valid_std": _number})
)
_CLASS_SCORES = dict.fromkeys(("accuracy", "AP", "AUC"), _number)
_SHARED = {
    "metric": _text,
    "unit_seconds": _positive,
    "num_clips": _count,
    "embedding_size": _count,
    "partial": lambda value: isinstance(value, bool),
    "pooling": _text,
    "layers": _list(lambda value: _text(value) or _count(value)),
    "learning_rate": lambda value: _number(value) or _list(_optional(_number))(value),
    "seeds": _list(_number),
    "notes": _list(_text),
    "split": _text,
    "versions": _mapping(_optional(_text)),
}
# of each kind of result: fields that must be there, and fields that may
_PROBE = (
    {"task": _text, "model": _text, "metric": _text, "mean": _fraction},
    {
        **_SHARED,
        **_SUMMARY,
        "mode": _text,
        "model_seed": _number,
        "metrics": _mapping(_object(mean=_number, **_SUMMARY)),
        "few_shot": _mapping(
            _object({"mean": _fraction}, **_SUMMARY), lambda key: key.isdecimal()
        ),
        "learning_rate_source": _text,
        "learning_rate_curve": _CURVE,
        "search": _RATES,
        "classes": _list(_text),
        "confusion_matrix": _list(_list(_count)),
        "per_class": _list(
            _object({"class": _text}, test_clips=_count, **_CLASS_SCORES)
        ),
        "bootstrap95": _list(_number, 2),
        "absent_classes": _mapping(_list(_text)),
        "counts": _mapping(_count),
        "expected_counts": _mapping(_count),
        "skipped": _list(_object({"file_name": _text})),
        "map": _object({"points": _list(_list(_number, 2)), "labels": _list(_count)}),
    },
)
_ROBUSTNESS = (
    {
        "task": _text,
        "model": _text,
        "clean": _object({"mean": _fraction}, **_SUMMARY),
        "rows": _list(
            _object(
                {
                    "kind": _text,
                    "setting": _text,
                    "cosine": _number,
                    "mean": _fraction,
                },
                **_SUMMARY,
            )
        ),
    },
    {**_SHARED, "other_clips_cosine": _number},
)
