"""HL7 v2: character sets, ER7, escapes, nulls, batches, structure, acknowledgements, MLLP framing."""
