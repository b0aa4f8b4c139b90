"""The HTTP side: FHIR in, health, metrics, the console."""
