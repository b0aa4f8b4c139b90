"""An independent check of a resource: the models of fhir.resources.

They model R4B (4.3.0), the nearest to R4 there is. Where the two differ (FHIR R4B, appendix "R4 differences":
evidence, medicinal products, substances, some new elements) no opinion is given. The models know structure
and most formats; they do not know required codes, most invariants and reference targets, which
:func:`engine.fhir.walk.validate` does. They take some milliseconds, so this is for tests and for feeds under
suspicion, not for the hot path.
"""

from __future__ import annotations

import re
from typing import Any

from engine.fhir.findings import Finding, Where, fhirpath
from engine.fhir.writer import dumps

_DIFFERENT = re.compile(
    "MedicinalProduct.*|Substance(NucleicAcid|Polymer|Protein|ReferenceInformation|SourceMaterial|Specification)"
    "|(Effect|Risk)EvidenceSynthesis|Evidence|EvidenceVariable|ResearchElementDefinition|ResearchDefinition"
    "|DeviceDefinition|DocumentManifest|CatalogEntry|SubscriptionTopic"
)
"""Resources that R4B dropped or changed."""


def second_opinion(resource: dict[str, Any]) -> list[Finding]:
    """What fhir.resources' R4B models find wrong; empty when nothing, or when R4B has no such resource.

    Messages name the kind of fault only, as the models' own texts may quote values.
    """
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    kind = str(resource.get("resourceType", ""))
    if _DIFFERENT.fullmatch(kind):
        return []
    try:
        model = get_fhir_model_class(kind)
    except (KeyError, ValueError):
        return []
    try:
        model.model_validate_json(dumps(resource))
    except ValidationError as error:
        return [_finding(kind, found) for found in error.errors(include_input=False, include_context=False)]
    return []


def _finding(kind: str, found: Any) -> Finding:
    where: Where = tuple(step for step in found["loc"] if isinstance(step, int | str))
    return Finding(
        fhirpath(kind, where), "second-opinion", f"fhir.resources refuses it: {found['type']}", where=where
    )
