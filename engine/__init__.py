"""The rules of Wardstream: pure functions and frozen records.

Nothing in this package opens a socket, talks to Kafka, loads a model, reads the environment or looks
at the clock. What it needs of the world comes in through :mod:`engine.ports`.
"""
