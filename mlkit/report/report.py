"""The report of a project: everything done in it on one page, as values and as Markdown."""

from __future__ import annotations

import dataclasses
import html
import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlkit import document
from mlkit.console import say
from mlkit.errors import MlkitError
from mlkit.page.document import PageSection, size_text
from mlkit.page.document import document as page_of
from mlkit.page.html import Html, json_script, tag
from mlkit.page.parts import command, joined, paragraph
from mlkit.production.decisions import plain
from mlkit.report.context import Context, open_context
from mlkit.report.masthead import Masthead, make_masthead
from mlkit.report.redaction import redacted, redacted_values
from mlkit.report.section import Finding, Section
from mlkit.report.sections.attention import attention_section, counts, in_order
from mlkit.report.sections.config import config_section
from mlkit.report.sections.data import data_section
from mlkit.report.sections.deployments import deployments_section
from mlkit.report.sections.drift import drift_section
from mlkit.report.sections.figures import figures_section
from mlkit.report.sections.provenance import provenance_section
from mlkit.report.sections.serving import serving_section
from mlkit.report.sections.studies import studies_section
from mlkit.report.sections.trial import trial_section

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlkit.production.stores import Stores

Kind = Literal["html", "md", "json"]

FORMAT = 1
"""Of the values; it rises when a name changes its meaning."""
ARTIFACT = "report.html"
WARN_BYTES = 15_000_000
VALUES = "mlkit-report"
"""The element of the page that holds the values."""

_STYLE = """
.masthead > .state { font-size: 1.2rem; text-wrap: balance; max-width: 46rem }
.masthead .tiles a { text-decoration: none } .masthead .tiles a:hover { text-decoration: underline }
.readers { margin: .8rem 0 } .readers p { margin: .15rem 0; font-size: .95rem }
.findings { list-style: none; padding-left: 0 } .findings p { margin: .5rem 0 .3rem }
"""

SECTIONS: dict[str, Callable[[Context], Section | None]] = {
    "Now serving": serving_section,
    "Deployments": deployments_section,
    "Live": drift_section,
    "Chosen trial": trial_section,
    "Studies": studies_section,
    "Data": data_section,
    "Config and rehearsal": config_section,
    "Figures": figures_section,
    "Provenance": provenance_section,
}


@dataclasses.dataclass(frozen=True)
class Written:
    """A report that was saved.

    Attributes:
        path: Where; None if it was not.
        bytes: Size of the file, else of the page.
        run_id: The run that holds it as an artifact; empty if none does.
        project: The project.
        sentence: The state in one sentence.
        findings: What was looked at, the worst first.
    """

    path: Path | None
    bytes: int
    run_id: str
    project: str
    sentence: str
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "path": str(self.path) if self.path else None}


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything done in a project, on one page.

    Attributes:
        masthead: The state in one sentence, and some figures.
        findings: What was looked at, the worst first.
        sections: The parts, in order.
        path: Where it was saved last; None if it was not.
        run_id: The run that holds it as an artifact; empty if none does.
    """

    masthead: Masthead
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...]
    path: Path | None = None
    run_id: str = ""

    def section(self, anchor: str) -> Section:
        """One part by its anchor.

        Raises:
            KeyError: This report has none.
        """
        return {section.anchor: section for section in self.sections}[anchor]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, without secrets."""
        said = {
            "format": FORMAT,
            **self.masthead.to_dict(),
            "findings": [found.to_dict() for found in self.findings],
            "sections": {section.anchor: section.to_dict() for section in self.sections},
        }
        return dict(redacted_values(plain(json.loads(json.dumps(said, default=str)))))

    def to_markdown(self) -> str:
        """The report as Markdown for a pull request; it names the call that gives more."""
        parts = [
            f"## {section.title}\n\n*{section.summary}*\n\n{section.markdown}" for section in self.sections
        ]
        more = (
            f"The same as a page: `mlkit report {self.masthead.project} --open`; as values: `--format json`."
        )
        return redacted("\n\n".join([self.masthead.markdown(), *parts, more])) + "\n"

    def to_html(self) -> str:
        """The report as a page that needs nothing but itself."""
        values = json_script(VALUES, self.to_dict())
        pages = [
            PageSection(
                section.anchor,
                section.title,
                redacted(section.summary),
                _clean(section.body),
                section.is_open,
            )
            for section in self.sections
        ]
        last = pages[-1]
        pages[-1] = dataclasses.replace(last, body=Html(f"{last.body}{values}"))
        title = f"{self.masthead.project}: {self.masthead.sentence}"
        masthead = _clean(self.masthead.html(self.sections))
        return page_of(redacted(title), masthead=masthead, sections=pages, head=tag("style", Html(_STYLE)))

    def save(self, path: Path | str, *, kind: Kind | None = None) -> Report:
        """Write it whole or not at all; gives the report with its path.

        Args:
            path: Where it goes.
            kind: ``html``, ``md`` or ``json``; by default as the ending of the path says, else a page.

        Raises:
            StoreError: The file cannot be written (STO023).
        """
        file = Path(path)
        known = {"md": self.to_markdown, "json": self.to_json}
        document.save(file, known.get(kind or file.suffix.removeprefix("."), self.to_html)())
        return dataclasses.replace(self, path=file)

    def written(self) -> Written:
        """What became of it: where it is, how large, and what it found."""
        return Written(
            path=self.path,
            bytes=self.bytes,
            run_id=self.run_id,
            project=self.masthead.project,
            sentence=self.masthead.sentence,
            findings=self.findings,
        )

    def to_json(self) -> str:
        """`to_dict` as text."""
        return f"{json.dumps(self.to_dict(), indent=2, ensure_ascii=False)}\n"

    @property
    def bytes(self) -> int:
        """Size of the saved file, else of the page."""
        return self.path.stat().st_size if self.path else len(self.to_html().encode())

    def __repr__(self) -> str:
        """The state, what asks for somebody, and where the page is."""
        asking = [found for found in self.findings if found.severity in ("act", "look")]
        lines = [f"Report {self.masthead.project}  {self.masthead.sentence}", f"  {counts(self.findings)}"]
        lines += [f"  {found!r}" for found in asking]
        if self.path:
            lines.append(f"  page     {self.path}  {size_text(self.bytes)}")
            lines.append(f"  next     mlkit report {self.masthead.project} --open")
        else:
            lines.append("  next     report.save('report.html')")
        return redacted("\n".join(lines))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def make_report(
    stores: Stores,
    *,
    problem: Mapping[str, Any] | None = None,
    at: dt.datetime | None = None,
    rows_shown: int = 0,
) -> Report:
    """Read what is recorded of a project and make its report; nothing is written.

    A part that cannot be made, for a store is away or a record is damaged, says so in its place.

    Args:
        stores: Of which project.
        problem: What is known without a config: `target` and `metric`.
        at: As of when; by default now.
        rows_shown: How many real rows it may show; by default none.
    """
    context = open_context(stores, problem=problem, at=at, rows_shown=rows_shown)
    made = list(_made(context))
    findings = tuple(in_order([found for section in made for found in section.findings]))
    return Report(
        masthead=make_masthead(context, findings),
        findings=findings,
        sections=(attention_section(findings), *made),
    )


def write_report(
    stores: Stores,
    path: Path | str | None = None,
    *,
    problem: Mapping[str, Any] | None = None,
    kind: Kind | None = None,
    rows_shown: int = 0,
    log: bool = True,
) -> Report:
    """Make the report of a project, save it, and log it as an artifact; says how large it is.

    Args:
        stores: Of which project.
        path: Where it goes; by default among the stores of this machine.
        problem: As for `make_report`.
        kind: ``html``, ``md`` or ``json``; by default as the ending of the path says, else a page.
        rows_shown: As for `make_report`.
        log: Whether MLflow gets the page too, with the champion's run or else the last one.

    Raises:
        StoreError: The file cannot be written (STO023).
    """
    report = make_report(stores, problem=problem, rows_shown=rows_shown).save(
        path or default_path(stores), kind=kind
    )
    size = report.bytes
    if size > WARN_BYTES:
        say(f"the report has {size_text(size)}: browsers take long, mail may refuse it; fewer figures help")
    return _logged(stores, report) if log else report


def open_page(report: Report) -> None:
    """Show a saved report in the browser of this machine; says so where there is none."""
    if report.path is not None and not webbrowser.open(report.path.resolve().as_uri()):
        say(f"no browser here; open {report.path}")


def default_path(stores: Stores) -> Path:
    """Where the report of a project goes unless another place is named."""
    return stores.workspace.folder / "reports" / f"{stores.project}.html"


def _made(context: Context) -> Iterator[Section]:
    for title, make in SECTIONS.items():
        try:
            section = make(context)
        except MlkitError as exc:
            section = _failed(title, context.project, exc)
        if section is not None:
            yield section


def _failed(title: str, project: str, error: MlkitError) -> Section:
    """A part that could not be made: what it would have been, and why it is not there."""
    anchor = title.split(maxsplit=1)[0].lower()
    said = f"{title} could not be looked at: {error.path}: {error.message} [{error.code}]"
    way_out = error.fix or f"mlkit doctor {project}"
    whole = joined([paragraph(f"{said}."), command(way_out)])
    found = Finding("RPT059", "not run", said, None, anchor, way_out)
    return Section(anchor, title, "could not be looked at", {}, whole.html, whole.markdown, findings=(found,))


def _logged(stores: Stores, report: Report) -> Report:
    run_id = _run_of(open_context(stores))
    if run_id:
        try:
            stores.tracking.text(run_id, ARTIFACT, report.to_html())
        except MlkitError as exc:  # the file is written: that is what was asked for
            say(f"the report was not logged to MLflow: {exc.message} [{exc.code}]")
            run_id = ""
    return dataclasses.replace(report, run_id=run_id)


def _run_of(context: Context) -> str:
    """The champion's run, else the last one of the project; empty if there is none."""
    if context.head is not None:
        return context.head.run_id
    runs: Sequence[Any] = (*context.study_runs, *context.deploy_runs)
    return str(max(runs, key=lambda run: run.started_at).run_id) if runs else ""


def _clean(markup: Html) -> Html:
    return Html(redacted(markup))
