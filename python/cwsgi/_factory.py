"""Calling an app factory from the command line: ``module:create_app("x", debug=True)``.

Imported only where the app reference has parentheses, so ``ast`` costs others nothing.
"""

from __future__ import annotations

import ast
from types import ModuleType
from typing import Any


class BadReference(Exception):
    """The reference itself is at fault, not what runs inside the factory."""


def call(module: ModuleType, expression: str) -> Any:
    """Call the factory named in ``expression`` and return the app.

    Only literal arguments are taken, as gunicorn does: the command line is no place
    for code. Raises BadReference for anything else, and whatever the factory raises.
    """
    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise BadReference(f"{expression!r} is not a call") from None
    if not isinstance(node, ast.Call):
        raise BadReference(f"{expression!r} is not a call")
    target: Any = module
    for name in _dotted(node.func, expression):
        try:
            target = getattr(target, name)
        except AttributeError as error:
            raise BadReference(str(error)) from None
    try:
        args = [ast.literal_eval(arg) for arg in node.args]
        kwargs = {kw.arg: ast.literal_eval(kw.value) for kw in node.keywords if kw.arg}
    except ValueError:
        raise BadReference(f"{expression!r} has arguments that are not literals") from None
    if len(kwargs) != len(node.keywords):
        raise BadReference(f"{expression!r} has arguments that are not literals")
    try:
        return target(*args, **kwargs)
    except TypeError as error:
        # Raised by the call itself, no frame deeper: the arguments do not fit.
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise BadReference(str(error)) from None
        raise


def _dotted(node: ast.expr, expression: str) -> list[str]:
    """Return the names of ``a.b.c``, outermost first."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value, expression), node.attr]
    raise BadReference(f"{expression!r} does not call a name")
