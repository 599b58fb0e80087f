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

    Importances = Mapping[str, Mapping[str, float]]

_MOST_COLUMNS = 12
_STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem; max-width: 70rem }
table { border-collapse: collapse }
td, th { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
"""


def draw_study(native: optuna.Study, study: Study, importances: Importances) -> str:
    """The page as HTML text; the drawing library is inlined once.

    Args:
        native: Optuna's view of the study, which has a complete trial.
        study: The study.
        importances: By feature: `mean` and `spread` (`mlkit.model.importance`).
    """
    parts = [f"<h1>Study {html.escape(study.name)}</h1>", f"<pre>{html.escape(repr(study))}</pre>"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna and plotly speak of their own future here
        for number, (title, figure) in enumerate(_figures(native, study, importances)):
            drawing = figure.to_html(
                full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False}
            )
            parts += [f"<h2>{html.escape(title)}</h2>", drawing]
    parts += ["<h2>All trials</h2>", study.leaderboard().to_html(index=False, max_cols=_MOST_COLUMNS)]
    head = f"<meta charset=utf-8><title>{html.escape(study.name)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _figures(native: optuna.Study, study: Study, importances: Importances) -> Iterator[tuple[str, go.Figure]]:
    """Figures that this study has enough trials for."""
    drawn = optuna.visualization
    complete = native.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    params = {name for trial in complete for name in trial.params}
    yield "Feature importances (permutation, train rows)", _bars(importances)
    yield "Course", drawn.plot_optimization_history(native, target_name=study.setting.metric.name)
    if params:
        yield "Parameters, side by side", drawn.plot_parallel_coordinate(native)
        yield "Parameters, one by one", drawn.plot_slice(native)
    shared = {name for name in params if all(name in trial.params for trial in complete)}
    if shared and len({trial.value for trial in complete}) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=study.setting.seed)
        yield "Parameters that mattered", drawn.plot_param_importances(native, evaluator=evaluator)
    yield "Timeline", drawn.plot_timeline(native)


def _bars(importances: Importances) -> go.Figure:
    names = list(importances)[::-1]
    bars = go.Bar(
        x=[importances[name]["mean"] for name in names],
        y=names,
        orientation="h",
        error_x={"type": "data", "array": [importances[name]["spread"] for name in names]},
    )
    return go.Figure(bars, layout={"height": 120 + 24 * len(names), "margin": {"l": 160, "t": 20}})
