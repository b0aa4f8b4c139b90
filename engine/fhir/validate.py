"""Checking FHIR R4 before it leaves: what is wrong with a resource or Bundle, and how it is mended."""

from __future__ import annotations

from engine.fhir.bundle_rules import validate_bundle
from engine.fhir.findings import Finding
from engine.fhir.repair import Repaired, repair, repaired
from engine.fhir.second_opinion import second_opinion
from engine.fhir.walk import validate

__all__ = ["Finding", "Repaired", "repair", "repaired", "second_opinion", "validate", "validate_bundle"]
