"""A bench for steps: code as text, run as a fresh process would, and what each call was told."""

from __future__ import annotations

import json
import linecache
import sys
import types

from mlkit import ModelProject

NAME = "my_script"


class Bench:
    """Runs scripts that define steps; knows of each call whether it was a hit, and why not.

    `helpers` are modules of the user's that the script imports, by name.
    """

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self._log = folder / "steps.jsonl"
        self._patch = monkeypatch
        monkeypatch.setenv("MLKIT_STEPS_LOG", str(self._log))
        monkeypatch.syspath_prepend(str(folder))
        self.project = ModelProject("flights", target="delay", metric="rmse")

    def run(self, source, *, at=NAME, **helpers):
        """Run a script; gives its names."""
        for name, text in helpers.items():
            self._load(name, text)
        return vars(self._load(at, source))

    def _load(self, name, text):
        module = types.ModuleType(name)
        module.__file__ = str(self.folder / f"{name}.py")
        module.project = self.project
        self._patch.setitem(sys.modules, name, module)
        linecache.cache.pop(module.__file__, None)
        exec(compile(text, module.__file__, "exec"), vars(module))  # noqa: S102 - a script of a test
        return module

    @property
    def calls(self):
        """Each call so far: step, outcome, why."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    @property
    def outcomes(self):
        """Hit or miss, of each call."""
        return [call["outcome"] for call in self.calls]

    @property
    def why(self):
        """What the last call was told."""
        return self.calls[-1]["why"]
