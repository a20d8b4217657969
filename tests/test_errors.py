"""The tree of errors is the one its docstring draws."""

import inspect
import re

from coverslip import errors
from coverslip.errors import CoverslipError, SlideWarning


def drawn():
    """Return the parent of each class as the docstring draws it."""
    parents, last = {}, {}
    for line in inspect.getdoc(errors).splitlines():
        if found := re.match(r"([\s│├└─]*)(\w+Error)\s{2,}\S", line):
            depth = len(found[1]) // 4
            parents[found[2]] = last.get(depth - 1)
            last[depth] = found[2]
    return parents


def classes():
    """Return the parent of each error as Python knows it; a warning is none."""
    return {
        name: None if cls is CoverslipError else cls.__base__.__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__ and not issubclass(cls, Warning)
    }


def test_the_drawn_tree_is_the_tree():
    """Every class stands in the docstring under its parent, and nothing else does."""
    assert len(classes()) > 10
    assert drawn() == classes()


def test_one_except_catches_them_all():
    """No error of the package has another root, and each says what it stands for."""
    for name in classes():
        cls = getattr(errors, name)
        assert issubclass(cls, CoverslipError)
        assert cls.__mro__[-3:] == (Exception, BaseException, object)
        assert "__doc__" in vars(cls)


def test_the_one_warning_is_no_error():
    """It is named in the docstring, and nobody who catches errors catches it."""
    assert not issubclass(SlideWarning, CoverslipError)
    assert issubclass(SlideWarning, UserWarning)
    assert "SlideWarning" in inspect.getdoc(errors)
