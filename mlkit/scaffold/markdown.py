"""Plans and deployments as Markdown: for a comment on a pull request, and for the page of a workflow run.

Whatever comes from configs or data stands in code spans, where it can be neither a link, a mention nor HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.production.blocked import Blocked
from mlkit.scaffold.together import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.errors import MlkitError
    from mlkit.production.plan import Plan
    from mlkit.scaffold.together import Deployments, Plans

MARKER = "<!-- mlkit plan -->"
"""First line of the comment, by which a workflow finds it again."""
MOST_REASONS = 20
MOST_CHARACTERS = 60_000
"""GitHub takes 65,536 in a comment."""

_MEANS = {
    "primary": "needs a **new model**",
    "secondary": "**code or rules only**: the model stays",
    "blocked": "is **blocked**",
}


def plans_markdown(plans: Plans) -> str:
    """What a merge would deploy."""
    head = f"{MARKER}\n### Plan for {span(plans.target)}: {plans.counts or 'no model yet'}\n"
    quiet = [item.model for item in plans.items if item.kind == "nothing"]
    tail = f"\nNothing to do: {', '.join(map(span, quiet))}\n" if quiet else ""
    if plans.changed:
        tail += f"\n<sub>By hand: {span(f'mlkit deploy --changed --target {plans.target}')}</sub>\n"
    return head + _fitting([_section(item) for item in plans.changed], MOST_CHARACTERS - len(tail)) + tail


def deployments_markdown(done: Deployments) -> str:
    """What became of a merge."""
    count = f"{len(done.changed)} of {counted(done.items)}"
    head = f"### Deployed to {span(done.target)}: {count}, in {done.seconds:.1f} s\n"
    if not done.items:
        return head
    rows = [f"| {item.outcome} | {span(item.model)} | {_cell(item.said)} |\n" for item in done.items]
    return f"{head}\n| outcome | model | |\n|---|---|---|\n" + _fitting(rows, MOST_CHARACTERS)


def span(text: str) -> str:
    """Foreign text as code, in one line, whatever it holds."""
    plain = " ".join(text.replace("`", "'").split())
    return f"`{plain}`"


def _cell(text: str) -> str:
    return span(text.replace("|", "/"))


def _section(item: Plan | Blocked) -> str:
    return "".join(
        f"{line}\n" for line in ("", f"{span(item.model)} {_MEANS[item.kind]}", "", *_reasons(item))
    )


def _reasons(plan: Plan | Blocked) -> Iterator[str]:
    if isinstance(plan, Blocked):
        yield from _failure(plan.error)
        return
    places = {change.sentence: change.place for change in plan.changes}
    for reason in plan.reasons[:MOST_REASONS]:
        place = places.get(reason)
        yield f"- {span(reason)}{f', {span(place)}' if place else ''}"
    if (more := len(plan.reasons) - MOST_REASONS) > 0:
        yield f"- and {more} more: {span(f'mlkit plan {plan.model}')}"
    if plan.kind == "primary":
        serves = f"v{plan.champion} serves" if plan.champion else "nothing serves"
        yield f"- {plan.train_rows:,} rows to train on, {plan.test_rows:,} to be judged on; {serves} now"


def _failure(error: MlkitError) -> Iterator[str]:
    yield f"- {span(error.code)} {span(error.sentence)}"
    if error.fix:
        yield f"- fix: {span(error.fix)}"


def _fitting(parts: Sequence[str], most: int) -> str:
    """As many parts as a comment takes, and how many it does not."""
    text = ""
    for place, part in enumerate(parts):
        if len(text) + len(part) > most - 100:
            return f"{text}\nand {len(parts) - place} more, which a comment does not hold\n"
        text += part
    return text
