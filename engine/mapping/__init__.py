"""HL7 v2 to FHIR R4. The maps are data, under ``tables/``; the code here only runs them."""
