"""HL7 over TCP: the listener that feeds talk to and the sender that replays use."""
