"""From a dataframe to a registered champion. Run it twice: the second time, it is unchanged."""

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from mlkit import Gate, ModelProject

patients = load_diabetes(as_frame=True).frame
project = ModelProject("diabetes", target="target", metric="rmse")
snapshot = project.snapshot(patients)  # named by its content
study = project.study(lambda trial: Ridge(trial.suggest_float("alpha", 1e-3, 10)), snapshot, trials=20)
config = project.freeze(study.best, gate=Gate(threshold=70), source=str(snapshot.table))
package = project.handoff(config)  # a wheel, rehearsed
report = project.deploy(config)
print(report, project.history(), sep="\n")
