from ._core import ClientDisconnected as ClientDisconnected

__all__ = ["ClientDisconnected", "__version__"]

__version__: str
