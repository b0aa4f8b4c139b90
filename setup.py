"""The package is pure Python; with WARDSTREAM_COMPILE=1 its hot path becomes native code (decision 0017).

mypyc makes it of the same sources. It needs a C compiler and Python's headers; pip fetches mypyc for the build alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import setup

HOT = (
    "engine/hl7v2/charset.py",
    "engine/hl7v2/charset_names.py",
    "engine/hl7v2/charset_shape.py",
    "engine/hl7v2/datetimes.py",
    "engine/hl7v2/decoded.py",
    "engine/hl7v2/delimiters.py",
    "engine/hl7v2/er7.py",
    "engine/hl7v2/escapes.py",
    "engine/hl7v2/groups.py",
    "engine/hl7v2/lines.py",
    "engine/hl7v2/structure.py",
    "engine/hl7v2/structures.py",
    "engine/hl7v2/tree.py",
    "engine/mapping/codes.py",
    "engine/mapping/compiler.py",
    "engine/mapping/complete.py",
    "engine/mapping/convert/*.py",
    "engine/mapping/expressions.py",
    "engine/mapping/identity.py",
    "engine/mapping/inspecting.py",
    "engine/mapping/kinds.py",
    "engine/mapping/leftovers.py",
    "engine/mapping/mapper.py",
    "engine/mapping/memory.py",
    "engine/mapping/naming.py",
    "engine/mapping/paths.py",
    "engine/mapping/provenance.py",
    "engine/mapping/rules.py",
    "engine/mapping/run.py",
    "engine/mapping/shapes.py",
    "engine/mapping/steps.py",
    "engine/mapping/templates.py",
    "engine/mapping/writing.py",
    "engine/fhir/bundle.py",
    "engine/fhir/checks.py",
    "engine/fhir/compiled.py",
    "engine/fhir/ids.py",
    "engine/fhir/invariants.py",
    "engine/fhir/invariants_resources.py",
    "engine/fhir/moments.py",
    "engine/fhir/notes.py",
    "engine/fhir/primitives.py",
    "engine/fhir/schema.py",
    "engine/fhir/sure.py",
    "engine/fhir/validate.py",
    "engine/fhir/walk.py",
    "engine/keys.py",
    "engine/pipeline.py",
    "engine/records.py",
    "engine/report.py",
)
"""What a message goes through between its bytes and its Bundle."""


COMPILED = os.environ.get("WARDSTREAM_COMPILE") == "1"

MYPY = """[mypy]
plugins = pydantic.mypy
ignore_missing_imports = true
follow_imports = silent
"""
"""Types are checked by `make lint`; here few packages are installed, and what the others declare counts as untyped."""


def extensions() -> list[Any]:
    from mypyc.build import mypycify

    here = Path(__file__).parent
    files = sorted(str(path.relative_to(here)) for pattern in HOT for path in here.glob(pattern))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "mypy.ini")
        config.write_text(MYPY, encoding="utf-8")
        return mypycify([f"--config-file={config}", *files], opt_level="2", debug_level="0")


# setup.py runs for what the build requires and for the metadata too: neither wants the code.
setup(
    ext_modules=extensions() if COMPILED and "bdist_wheel" in sys.argv else [],
    setup_requires=["mypy>=1.16", "pydantic>=2.11"] if COMPILED else [],
)
