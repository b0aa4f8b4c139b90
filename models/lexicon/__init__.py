"""Word lists of clinical English and the code that finds their terms: what the rule baseline knows."""
