"""``wardstream demo``: real traffic through the whole engine, on this machine alone, with every message accounted for."""
