"""Templates to text. They have ``[[ name ]]`` and ``[% if %]``, since ``{{ name }}`` is GitHub's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from mlkit.code import DISTRIBUTION, installed_version
from mlkit.research.pins import pins_of
from mlkit.targets import LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import jinja2

    from mlkit.scaffold.answers import Answers
    from mlkit.scaffold.files import File
    from mlkit.targets import Target

_IMPORTED = ("pandera", "sklearn")
"""What the example imports, and what its config is therefore frozen with."""


def render_own(file: File, answers: Answers, files: Sequence[File]) -> str:
    """The first text of a file that is the user's from then on."""
    return _template(file.template).render(
        name=answers.name,
        store=answers.store,
        ci=answers.ci,
        files=files,
        version=installed_version(DISTRIBUTION),
        python=installed_version("python"),
        pins=exact_versions(),
    )


def render_plain(file: File) -> str:
    """The text of a file that is the same in every repository."""
    return _template(file.template).render()


def render_managed(file: File, targets: Mapping[str, Target]) -> str:
    """The text of a managed file, without its header: it follows from the targets alone."""
    target = "prod" if "prod" in targets else next((name for name in targets if name != LOCAL), LOCAL)
    on_databricks = any(each.on_databricks for each in targets.values())
    return _template(file.template).render(target=target, databricks=on_databricks)


def exact_versions() -> list[str]:
    """``name==version`` of what models of this environment follow from."""
    return pins_of(_IMPORTED)


def _template(name: str) -> jinja2.Template:
    return _templates().get_template(f"{name}.jinja")


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - 0.1 s that only these commands need

    return jinja2.Environment(  # noqa: S701 - no page: files of a repository
        loader=jinja2.PackageLoader("mlkit.scaffold"),
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
