"""The head of a report: the state in one sentence, some figures, and where to begin for whom."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlkit.code import DISTRIBUTION, git_state
from mlkit.errors import MlkitError
from mlkit.page.html import Html, number, tag, tiles
from mlkit.page.words import gain, improvement, lasting, moment
from mlkit.report.sections.drift import state_of
from mlkit.report.state import judged_as, serving_term

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    from mlkit.report.context import Context
    from mlkit.report.section import Finding, Section

T = TypeVar("T")

_AGE = """(() => {
  const made = document.querySelector("time[data-made]");
  const days = Math.floor((Date.now() - Date.parse(made.dateTime)) / 864e5);
  if (days < 1) return;
  const said = document.createElement("p");
  said.className = "age";
  const mark = document.createElement("span");
  mark.className = "badge look";
  mark.dataset.sign = "!";
  mark.textContent = "old";
  said.append(mark, ` This page is ${days} day${days > 1 ? "s" : ""} old; much may have changed.`);
  made.parentElement.after(said);
})();"""
"""Says on the page how old it is, from a day on."""

READERS = {
    "Reviewer: merge or not?": ("deployments", "config", "trial"),
    "On call: what broke, how to undo?": ("attention", "serving", "drift"),
    "Data scientist: why does it win?": ("trial", "studies", "data"),
}
"""For whom, and in which order to read; an anchor without a section is left out."""


@dataclasses.dataclass(frozen=True)
class Tile:
    """One figure above the fold.

    Attributes:
        name: What it is.
        value: What is shown.
        anchor: Of the section with its evidence.
    """

    name: str
    value: str
    anchor: str


@dataclasses.dataclass(frozen=True)
class Masthead:
    """What stands above all sections.

    Attributes:
        project: The project.
        problem: What it predicts and how it is judged; empty if nobody knows yet.
        sentence: The state in one sentence.
        at: When the report was made.
        made: By which version of mlkit, at which commit, on which target.
        figures: Score, margin, drift, age of the data, open findings.
    """

    project: str
    problem: str
    sentence: str
    at: dt.datetime
    made: str
    figures: tuple[Tile, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "at": self.at.isoformat()}

    def html(self, sections: Sequence[Section]) -> Html:
        """Markup; `sections` are those that can be linked to."""
        linked = [(tile.name, tag("a", tile.value, href=f"#{tile.anchor}")) for tile in self.figures]
        made = tag("time", moment(self.at), datetime=self.at.isoformat(timespec="seconds"), data_made=True)
        return Html(
            "".join(
                [
                    tag("h1", self.project),
                    tag("p", self.problem, class_="faint") if self.problem else "",
                    tag("p", self.sentence, class_="state"),
                    tiles(linked),
                    tag(
                        "nav",
                        Html("".join(_reading(sections))),
                        class_="readers",
                        aria_label="Where to begin",
                    ),
                    tag("p", "Made ", made, f" {self.made}.", class_="faint"),
                    tag("script", Html(_AGE)),
                ]
            )
        )

    def markdown(self) -> str:
        """The same as Markdown."""
        figures = " · ".join(f"{tile.name} **{tile.value}**" for tile in self.figures)
        parts = [f"# {self.project}", self.problem, f"**{self.sentence}**", figures]
        return "\n\n".join([*filter(None, parts), f"Made {moment(self.at)} {self.made}."])


def make_masthead(context: Context, findings: Sequence[Finding]) -> Masthead:
    """The head of the report of a project; what cannot be read is left out, and the findings say why."""
    return Masthead(
        project=context.project,
        problem=_told(lambda: _problem(context), ""),
        sentence=_told(lambda: state_sentence(context), "What serves cannot be told."),
        at=context.now,
        made=_made(context),
        figures=(*_figures(context), _open(findings)),
    )


def _told(read: Callable[[], T], otherwise: T) -> T:
    """What is read, or something else where a store is away or a record is damaged."""
    try:
        return read()
    except MlkitError:
        return otherwise


def state_sentence(context: Context) -> str:
    """``v8 has served for 3 days; the last deploy kept it; drift quiet``."""
    term = serving_term(context)
    if term is None:
        return f"No model serves yet; {_before_serving(context)}."
    parts = [
        f"v{term.version} has served for {lasting(context.now - term.since)}",
        _last_deploy(context),
        _told(lambda: state_of(context), "drift cannot be told"),
    ]
    return f"{'; '.join(filter(None, parts))}."


def _before_serving(context: Context) -> str:
    if context.decisions:
        return "the last deploy was rejected"
    if context.frozen is not None:
        return "a config is frozen and can be deployed"
    studies = len(context.study_runs)
    if studies:
        return f"{studies} {'study was' if studies == 1 else 'studies were'} made, nothing is frozen"
    return "nothing was tried yet"


def _last_deploy(context: Context) -> str:
    head = context.entries[-1]
    if head.kind == "rollback":
        return f"it is a rollback from v{head.from_version}"
    if not context.decisions:
        return ""
    last = context.decisions[-1]
    if last.outcome == "promote":
        return "the last deploy put it there"
    return "the last deploy kept it" if last.outcome == "keep" else "the last deploy was rejected"


def _problem(context: Context) -> str:
    known = {**context.problem, **(context.config or {})}
    if not known.get("target") or not known.get("metric"):
        return ""
    return f"predicts {known['target']}, judged by {known['metric']}"


def _made(context: Context) -> str:
    words = [f"by mlkit {_own_version()}", f"on the target {context.stores.workspace.target}"]
    try:
        state = git_state(Path.cwd())
    except MlkitError:  # git did not answer: the report is not worth waiting for it
        return ", ".join(words)
    if state.commit:
        words.append(f"at commit {state.commit[:10]}{' with changes' if state.dirty else ''}")
    return ", ".join(words)


def _own_version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "that is not installed"


def _figures(context: Context) -> Iterator[Tile]:
    """Score, margin, live score and drift, age of the data: those that there are."""
    for part in (_scores, _live, _age):
        yield from _told(functools.partial(list, part(context)), [])


def _scores(context: Context) -> Iterator[Tile]:
    decision = judged_as(context, context.entries[-1]) if context.entries else None
    if decision is None:
        return
    record = decision.record
    score, limit = record["scores"]["candidate"], record["gate"]["threshold"]
    yield Tile(record["metric"], number(score), "serving")
    margin = improvement(score, limit, record["direction"])
    if margin is not None:
        yield Tile(f"margin to threshold {number(limit)}", gain(margin), "serving")


def _live(context: Context) -> Iterator[Tile]:
    if context.head is None:
        return
    found = [each for each in context.performance if each["value"] is not None]
    if found:
        yield Tile("live score", number(found[-1]["value"]), "drift")
    newest = context.windows[-1] if context.windows else None
    yield Tile("drift", newest.verdict.replace("_", " ") if newest else "not checked", "drift")


def _age(context: Context) -> Iterator[Tile]:
    decision = judged_as(context, context.entries[-1]) if context.entries else None
    if decision is not None:
        yield Tile("data age", lasting(context.now - decision.at), "provenance")
    elif not context.entries:
        yield Tile("studies", str(len(context.study_runs)), "studies")


def _open(findings: Sequence[Finding]) -> Tile:
    asking = sum(found.severity in ("act", "look") for found in findings)
    return Tile("open findings", str(asking), "attention")


def _reading(sections: Sequence[Section]) -> Iterator[Html]:
    titles = {section.anchor: section.title for section in sections}
    for reader, anchors in READERS.items():
        links = [tag("a", titles[anchor], href=f"#{anchor}") for anchor in anchors if anchor in titles]
        if links:
            yield tag("p", f"{reader} ", Html(" → ".join(links)))
