"""Files and generated messages as a feed."""
