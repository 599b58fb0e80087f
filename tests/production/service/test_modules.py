"""Models that brought code: one has its modules in place at a time, and keeps them for good."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading

import pytest

from mlkit.production.service.modules import ModelCode


def own() -> object:
    """The module that is in place."""
    return importlib.import_module("brought_along")


@pytest.fixture
def brought(tmp_path):
    """A function that gives the code of a model whose module has a value."""

    def make(value):
        folder = tmp_path / str(value) / "code"
        folder.mkdir(parents=True)
        (folder / "brought_along.py").write_text(f"VALUE = {value!r}\n")
        return ModelCode(folder.parent)

    yield make
    with make("none").loading():
        pass  # nothing stays in place


def together(*tasks, seconds=20) -> None:
    """Run tasks at once, to their end."""
    threads = [threading.Thread(target=task, daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive()


def test_each_has_its_own_module_and_keeps_it(brought):
    """However often the other one had its turn."""
    codes = [brought(1), brought(2)]
    seen = []
    for code in codes * 3:
        with code.running():
            seen.append(own())
    assert [module.VALUE for module in seen] == [1, 2] * 3
    assert (seen[0], seen[1]) == (seen[4], seen[5])


def test_while_one_is_loaded_no_module_is_in_place(brought):
    """What is imported then by another way is not found among those of a model."""
    code = brought(1)
    with code.running():
        own()
    with code.loading():
        assert "brought_along" not in sys.modules
        with pytest.raises(ModuleNotFoundError):
            own()


def test_predictions_of_one_model_run_together(brought):
    """Two threads meet inside."""
    code, meet = brought(1), threading.Barrier(2)

    def predict():
        with code.running():
            meet.wait(10)

    together(predict, predict)


def test_predictions_of_two_models_never_run_together(brought):
    """Each finds its own module from beginning to end."""
    wrong = []

    def predict(code, value):
        for _ in range(200):
            with code.running():
                wrong.extend([1] if value != own().VALUE else [])

    tasks = [(brought(value), value) for value in (1, 2, 3)]
    together(*(lambda task=task: predict(*task) for task in tasks * 2))
    assert wrong == []


def test_who_waits_is_not_forgotten_under_load(brought):
    """Threads whose predictions overlap all the time let a load pass."""
    code, loaded, busy = brought(1), threading.Event(), threading.Barrier(3)

    def predict():
        busy.wait(10)
        while not loaded.is_set():
            with code.running():
                loaded.wait(0.002)

    def load():
        busy.wait(10)
        with code.loading():
            loaded.set()

    together(predict, predict, load)


def test_an_error_inside_gives_the_turn_back(brought):
    """The next one comes."""
    one, other = brought(1), brought(2)
    with pytest.raises(KeyError), one.running():
        raise KeyError
    with other.running():
        assert own().VALUE == 2


def test_modules_that_could_not_be_put_in_place_are_not_taken_to_be_there(brought):
    """The next prediction of the same model tries again."""

    class Away(ModelCode):
        away = True

        def placed(self):
            if self.away:
                raise OSError("the folder is away")
            return super().placed()

    code = Away(brought(1)._folder)
    with pytest.raises(OSError, match="away"), code.running():
        pass
    code.away = False
    with code.running():
        assert own().VALUE == 1


def test_a_model_without_code_never_waits(brought, tmp_path):
    """Not even for one that is being loaded."""
    (tmp_path / "plain").mkdir()
    plain = ModelCode(tmp_path / "plain")
    with brought(1).loading(), plain.running(), plain.loading():
        pass


def test_a_process_ends_quietly_with_code_in_place(brought):
    """It is taken out while there still is a path."""
    script = """if True:
        import sys
        from pathlib import Path
        from mlkit.production.service.modules import ModelCode
        with ModelCode(Path(sys.argv[1])).running():
            import brought_along
    """
    folder = str(brought(2)._folder)
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
