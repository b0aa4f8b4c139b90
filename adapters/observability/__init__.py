"""Logs without patient data, and metrics."""
