"""The tools: ``cwsgi WORD ...``, each the module of that name here.

No server imports any of this. The words are in csrc/launcher/tools.c.
"""

import sys


class ToolError(Exception):
    """What a tool cannot do: one line for whoever typed the command."""


def main(program: str, word: str, *args: str) -> int:
    """Run the tool `word` and return its exit status.

    Args:
        program: path of the program ``cwsgi``, for tools that start servers.
        word: the tool's name.
        args: the words of the command line after it.
    """
    import importlib
    import os

    # Closed by whoever started this: there is no stream, and the next file would be it.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    try:
        tool = importlib.import_module(f"{__name__}.{word}")
        status: int = tool.main(program, list(args))
        sys.stdout.flush()
        return status
    except ToolError as error:
        print(f"cwsgi {word}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None:
            raise
        # Nothing more can be written at the exit. Who has left a pipe has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return 0
        print(f"cwsgi {word}: {error.strerror or error}", file=sys.stderr)
        return 1
