"""FHIR R4: reading, validating, bundles, deterministic ids."""
