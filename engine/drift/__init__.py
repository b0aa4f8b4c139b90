"""What is watched, the detectors, the events."""
