"""Clinical free text: which texts are notes, sections, assertion, the rule baseline, entities to FHIR."""
