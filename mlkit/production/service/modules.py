"""The user's code that models brought along, where several threads predict and versions replace each other.

Two versions of a model may bring two versions of one module, and Python knows one module by a name. So of all
models that brought code, one has its modules in place at a time: predictions of the same model run together,
those of another wait their turn. A model keeps its modules, so that a class stays the same class for good.
A model that brought no code never waits.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from typing import TYPE_CHECKING

from mlkit.tracking.models import CODE, carried_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import ModuleType


class ModelCode:
    """The modules of one model.

    Attributes:
        kept: Those imported so far, by name.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is imported yet."""
        self._folder, self._brought_any = folder, (folder / CODE).is_dir()
        self.kept: dict[str, ModuleType] = {}

    def running(self) -> AbstractContextManager[None]:
        """Hold this while the model predicts."""
        return _PLACE.held_by(self) if self._brought_any else contextlib.nullcontext()

    def loading(self) -> AbstractContextManager[None]:
        """Hold this while the model is loaded: no module of any model is in place."""
        return _PLACE.held_by(None) if self._brought_any else contextlib.nullcontext()

    def placed(self) -> AbstractContextManager[None]:
        """Put the modules in place for as long as this lasts."""
        return carried_code(self._folder, self.kept)


class _Place:
    """What is in place, and who uses it. A thread may hold it once."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._code: ModelCode | None = None
        self._users = 0
        self._wanted: list[ModelCode | None] = []
        self._undo = contextlib.ExitStack()
        atexit.register(self._undo.close)  # while there still is a path to take the code out of

    @contextlib.contextmanager
    def held_by(self, code: ModelCode | None) -> Iterator[None]:
        """Have the modules of a model in place; None for those of no model, and for oneself alone."""
        self._enter(code)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, code: ModelCode | None) -> None:
        with self._turn:
            self._wanted.append(code)
            self._turn.wait_for(lambda: self._may_join(code) or self._is_next(code))
            self._wanted.remove(code)
            try:
                if code is not self._code:
                    self._switch(code)
                self._users += 1
            finally:  # also the next one's turn, if this one came to nothing
                self._turn.notify_all()

    def _may_join(self, code: ModelCode | None) -> bool:
        """Whether its modules are in place, and nobody waits for others."""
        return code is not None and all(one is code for one in (self._code, *self._wanted))

    def _is_next(self, code: ModelCode | None) -> bool:
        return not self._users and self._wanted[0] is code

    def _leave(self) -> None:
        with self._turn:
            self._users -= 1
            self._turn.notify_all()

    def _switch(self, code: ModelCode | None) -> None:
        self._code = None  # until the other modules are in place, which may fail
        self._undo.close()
        if code is not None:
            self._undo.enter_context(code.placed())
        self._code = code


_PLACE = _Place()
