"""Machine learning: the model that reads notes, and the tools that train and judge it."""
