"""Training a note reader. Offline: the ``train`` extra's torch and transformers are imported here and never at run time."""
