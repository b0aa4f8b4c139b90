"""Names that R4 does not know and another FHIR version does, so that a report can say so.

The models of fhir.resources are asked, and only when an unknown name has been met.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.remembering import remembered

_VERSIONS = (("STU3", "fhir.resources.STU3"), ("R4B", "fhir.resources.R4B"), ("R5", "fhir.resources"))


@remembered(1024)
def version_of_resource(name: str) -> str:
    """``STU3``, ``R4B`` or ``R5`` when that version has a resource of this name, else ""."""
    if not name.isalpha():
        return ""
    return next((version for version, package in _VERSIONS if _model(package, name) is not None), "")


@remembered(4096)
def version_of_element(path: str) -> str:
    """The version that knows an element, by its path without indexes: ``Observation.context`` is of STU3."""
    *owner, name = path.split(".")
    model_name = "".join(part[:1].upper() + part[1:] for part in owner)
    if not model_name.isalpha():
        return ""
    for version, package in _VERSIONS:
        model = _model(package, model_name)
        if model is not None and any(
            (field.alias or key) == name for key, field in model.model_fields.items()
        ):
            return version
    return ""


def _model(package: str, name: str) -> Any:
    try:
        return import_module(package).get_fhir_model_class(name)
    except (LookupError, ImportError, AttributeError, ValueError):
        return None
