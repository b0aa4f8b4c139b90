"""Annotated texts: reading, splitting and enlarging them. Used by training and by evaluation; needs no torch."""
