"""A study as one page: leaderboard, course, parameters, importances; no request leaves it."""

from __future__ import annotations

import html
import warnings
from typing import TYPE_CHECKING

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.research.study.trials import Study

_MANY = 12
_STYLE = "body{font-family:system-ui,sans-serif;margin:2rem;max-width:70rem}table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd}"


def draw_study(native: optuna.Study, study: Study, importances: Mapping[str, Mapping[str, float]]) -> str:
    """The page as HTML text; the drawing library is inlined once."""
    parts = [f"<h1>Study {html.escape(study.name)}</h1>", f"<pre>{html.escape(repr(study))}</pre>"]
    library: bool | str = True
    for title, figure in _figures(native, study, importances):
        parts.append(f"<h2>{html.escape(title)}</h2>")
        parts.append(figure.to_html(full_html=False, include_plotlyjs=library))
        library = False
    parts += ["<h2>All trials</h2>", study.leaderboard().to_html(index=False, max_cols=_MANY)]
    head = f"<meta charset=utf-8><title>{html.escape(study.name)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _figures(
    native: optuna.Study, study: Study, importances: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, go.Figure]]:
    """Figures that this study has enough trials for."""
    complete = native.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    yield "Feature importances (permutation, train rows)", _bars(importances)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna and plotly speak of their own future here
        yield "Course", optuna.visualization.plot_optimization_history(native, target_name=study.setting.metric.name)
        params = {name for trial in complete for name in trial.params}
        if params:
            yield "Parameters, side by side", optuna.visualization.plot_parallel_coordinate(native)
            yield "Parameters, one by one", optuna.visualization.plot_slice(native)
        shared = {name for name in params if all(name in trial.params for trial in complete)}
        if shared and len({trial.value for trial in complete}) > 1:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=study.setting.seed)
            yield "Parameters that mattered", optuna.visualization.plot_param_importances(native, evaluator=evaluator)
        yield "Timeline", optuna.visualization.plot_timeline(native)


def _bars(importances: Mapping[str, Mapping[str, float]]) -> go.Figure:
    names = list(importances)[::-1]
    bars = go.Bar(
        x=[importances[name]["mean"] for name in names],
        y=names,
        orientation="h",
        error_x={"type": "data", "array": [importances[name]["spread"] for name in names]},
    )
    return go.Figure(bars, layout={"height": 120 + 24 * len(names), "margin": {"l": 160, "t": 20}})
