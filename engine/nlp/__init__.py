"""Clinical free text: sections, assertion, relations, languages, and what they become in FHIR."""
