"""A study as one page of its own, kept with its run; the report shows the same beside all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.page.document import PageSection, document
from mlkit.page.html import Html, code, facts, join, number, tag
from mlkit.page.parts import joined, paragraph, plotted
from mlkit.page.plots import Bar, bar_plot
from mlkit.research.study.drawn import counts, study_parts
from mlkit.research.study.told import Told, Tried, family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.page.parts import Part
    from mlkit.research.study.trials import Study, Trial

    Importances = Mapping[str, Mapping[str, float]]

_MOST_FEATURES = 40  # that are drawn, the most important ones


def draw_study(study: Study, importances: Importances) -> str:
    """The page as HTML text; no request leaves it.

    Args:
        study: The study, which has a complete trial.
        importances: By feature: `mean` and `spread` (`mlkit.model.importance`); empty if nobody asked.
    """
    metric = study.setting.metric
    tried = Tried(metric.name, metric.direction, tuple(map(_told, study.trials)))
    sections = [
        PageSection("trials", "Trials", counts(tried), joined(study_parts(tried)).html),
        PageSection(
            "features", "Features", "what the best model leans on", _leaning(study, importances).html
        ),
    ]
    return document(f"Study {study.name}", masthead=_masthead(study, tried), sections=sections)


def _told(trial: Trial) -> Told:
    return Told(
        number=trial.number,
        state=trial.state,
        params=trial.params,
        score=trial.score,
        spread=trial.spread,
        seconds=trial.seconds,
        model=family(trial.model),
        error=trial.error,
    )


def _masthead(study: Study, tried: Tried) -> Html:
    setting, best = study.setting, study.best
    said = f"Trial {best.number} is the best: {setting.metric.name} {number(best.score)}; {counts(tried)}."
    return join(
        [
            tag("h1", f"Study {study.name}"),
            tag("p", f"predicts {setting.target}, judged by {setting.metric.name}", class_="faint"),
            tag("p", said),
            facts(
                {
                    "rows": f"{setting.train_rows:,} to learn from in {setting.cv} folds; "
                    f"{setting.test_rows:,} test rows are sealed",
                    "snapshot": tag("code", setting.snapshot.fingerprint),
                    "seed": setting.seed,
                    "run": tag("code", study.run_id),
                }
            ),
            code(f"mlkit report {setting.project} --open"),
        ]
    )


def _leaning(study: Study, importances: Importances) -> Part:
    if not importances:
        return paragraph("Nobody asked: of a model that learns in Spark, importances are not computed.")
    shown = list(importances.items())[:_MOST_FEATURES]
    more = f" The first {len(shown)} of {len(importances):,}." if len(importances) > len(shown) else ""
    bars = [
        Bar(name, found["mean"], found["mean"] - found["spread"], found["mean"] + found["spread"])
        for name, found in shown
    ]
    return plotted(
        bar_plot(bars, title="Importance of features", x_label=f"{study.setting.metric.name} lost"),
        caption=(
            f"How much worse {study.setting.metric.name} gets on train rows when a feature is shuffled; "
            f"whiskers: one standard deviation of the shuffles.{more}"
        ),
        headers=["feature", "mean", "spread"],
        rows=[[name, found["mean"], found["spread"]] for name, found in shown],
    )
