"""The page of a search: the best values, all trials, Optuna's plots."""

import io
import logging
import warnings

from train_lib.pages import html, text
from train_lib.tune.study import values_of

_PLOTS = (
    ("plot_optimization_history", "The best value so far, trial by trial"),
    ("plot_intermediate_values", "Every trial as it trained"),
    ("plot_param_importances", "How much each field matters"),
    ("plot_slice", "Value against each field"),
    ("plot_parallel_coordinate", "All fields of all trials"),
)

logger = logging.getLogger(__name__)


def render(study, command: str) -> str:
    """The page of a study as HTML.

    Args:
        study: Optuna study with at least one complete trial.
        command: shell command that trains with the best values.
    """
    trials = [trial for trial in study.trials if trial.state.name != "FAIL"]
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    pruned = len([trial for trial in trials if trial.state.name == "PRUNED"])
    best = study.best_trial
    plots = [(heading, _plot(name, study)) for name, heading in _PLOTS]
    return html.render(
        "search.html",
        title="Search for pre-training values",
        lead="Accuracy of a linear probe on validation clips, never on test clips.",
        tiles=[
            (text.percent(best.value, unit=" %"), "best validation accuracy"),
            (str(len(complete)), "trials trained to the end"),
            (str(pruned), "given up early"),
        ],
        best=_values(best),
        command=command,
        plots=[(heading, picture) for heading, picture in plots if picture],
        trials=[
            (
                trial.number,
                "" if trial.value is None else text.percent(trial.value),
                trial.state.name.lower(),
                ", ".join(f"{name} {value}" for name, value in _values(trial)),
            )
            for trial in sorted(trials, key=lambda trial: -(trial.value or 0))
        ],
    )


def _values(trial) -> list[tuple[str, str]]:
    if "values" not in trial.user_attrs:
        return []
    return [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in values_of(trial).items()
    ]


def _plot(name: str, study) -> bytes | None:
    """One of Optuna's matplotlib plots as PNG; None if there is too little yet.

    Optuna draws with pyplot and sets its style for the whole process: this is for
    the command's only thread, and gives the settings back.
    """
    import matplotlib

    matplotlib.use("Agg")
    import optuna.visualization.matplotlib as plots
    from matplotlib import pyplot

    try:
        with matplotlib.rc_context({"text.parse_math": False}), io.BytesIO() as file:
            with warnings.catch_warnings():
                # these plots are "experimental" in Optuna
                warnings.simplefilter("ignore")
                axes = getattr(plots, name)(study)
            panels = list(axes.ravel()) if hasattr(axes, "ravel") else [axes]
            figure = panels[0].figure
            figure.set_size_inches(max(9.0, 2.0 * len(panels)), 4.0)
            if len(panels) > 1:  # a field's name is wider than its panel
                for panel in panels:
                    panel.set_xlabel(panel.get_xlabel(), rotation=20, ha="right")
            figure.savefig(file, format="png", dpi=110, bbox_inches="tight")
            return file.getvalue()
    except (ValueError, RuntimeError, ImportError) as error:
        logger.info("%s is left out: %s", name, error)
        return None
    finally:
        pyplot.close("all")
