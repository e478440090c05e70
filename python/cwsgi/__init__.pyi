from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ._core import ClientDisconnected as ClientDisconnected
from ._core import RequestTimeout as RequestTimeout
from ._core import after_response as after_response

__all__ = [
    "ClientDisconnected",
    "RequestTimeout",
    "__version__",
    "after_response",
    "on_shutdown",
    "on_startup",
    "serve",
]

__version__: str

_F = TypeVar("_F", bound=Callable[[], object])

_startup_functions: list[Callable[[], object]]
_shutdown_functions: list[Callable[[], object]]

def on_startup(function: _F) -> _F: ...
def on_shutdown(function: _F) -> _F: ...
def serve(app: str | Callable[..., Any], **options: Any) -> NoReturn: ...
