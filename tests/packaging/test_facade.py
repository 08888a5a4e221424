"""The lazy facade: every public name, and nothing else."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import pytest_taskprogress

# Before a test runs a session in this process, which forgets what is first imported in it.
for _name in pytest_taskprogress.__all__:
    getattr(pytest_taskprogress, _name)


@pytest.mark.parametrize("name", pytest_taskprogress.__all__)
def test_every_name_is_there(name):
    """A public name is the object of that name in the module that the facade says."""
    home = import_module(f"pytest_taskprogress.{pytest_taskprogress._HOMES[name]}")
    assert getattr(pytest_taskprogress, name) is getattr(home, name)
    assert name in home.__all__


def test_all_is_dir():
    """`__all__` and `dir()` tell the same."""
    assert {*pytest_taskprogress.__all__, "__version__"} == set(dir(pytest_taskprogress))
    assert pytest_taskprogress.__all__ == sorted(pytest_taskprogress.__all__)


def test_type_checkers_see_the_same():
    """What the facade imports for type checkers is what it offers."""
    tree = ast.parse(Path(pytest_taskprogress.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("pytest_taskprogress.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == pytest_taskprogress._HOMES


def test_an_unknown_name():
    """A name that is not there is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        pytest_taskprogress.Nonsense
    with pytest.raises(ImportError):
        from pytest_taskprogress import Nonsense  # noqa: F401


def test_version():
    """The package and its metadata agree."""
    assert pytest_taskprogress.__version__ == version("pytest-taskprogress")


def test_entry_points():
    """pytest and Celery find what they look for."""
    (plugin,) = entry_points(group="pytest11", name="taskprogress")
    assert plugin.load() is import_module("pytest_taskprogress.plugin")
    (backend,) = entry_points(group="celery.result_backends", name="taskprogress")
    assert backend.load() is pytest_taskprogress.FakeBackend


def test_typed():
    """Type checkers take the package's types."""
    assert Path(pytest_taskprogress.__file__).with_name("py.typed").is_file()
