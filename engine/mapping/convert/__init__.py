"""Values of HL7 v2 data types to FHIR values: what the ``using`` column names beside the data type tables.

``FUNCTIONS`` are named as they are; ``FACTORIES`` take places in the source as arguments, separated by
``;``, such as ``minutes(SCH-10)`` or ``later(AIS-4;AIS-8)``.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.mapping.convert.primitives import PRIMITIVES, Converter, string
from engine.mapping.convert.quantities import (
    money,
    number_or_comparator,
    range_text,
    sampled_data,
    split_power,
    structured_numeric,
    ucum_unit,
    unchecked_unit,
)
from engine.mapping.convert.texts import (
    attachment_title,
    blank_line,
    collected,
    concept_text,
    finish_texts,
    joined,
    lines_of_field,
)
from engine.mapping.convert.timing import (
    duration,
    duration_parts,
    later,
    minutes,
    repeat_pattern,
    report_time,
)
from engine.mapping.convert.translate import translated
from engine.mapping.convert.types import (
    coding_system,
    cx_system,
    ei_system,
    hd_system,
    hex_data,
    location_chain,
    media_type,
    own_place,
    plain_data,
    sender_system,
    system_of,
)

FUNCTIONS: dict[str, Converter] = {
    "HD-system": hd_system,
    "CX-system": cx_system(),
    "CX-visit-system": cx_system("visit"),
    "CX-order-system": cx_system("order"),
    "CX-practitioner-system": cx_system("practitioner"),
    "EI-system": ei_system,
    "CNN-system": system_of(9),
    "media-type": media_type(2),
    "media-type-RP": media_type(3),
    "plain-data": plain_data,
    "hex-data": hex_data,
    "lines": lines_of_field,
    "attachment-title": attachment_title,
    "coding-system": coding_system,
    "NM-Quantity": number_or_comparator,
    "NA-SampledData": sampled_data,
    "range-text": range_text,
    "SN-value": structured_numeric,
    "MO-Money": money,
    "UCUM-unit": ucum_unit,
    "split-power": split_power,
    "unchecked-unit": unchecked_unit,
    "RPT-Timing": repeat_pattern,
    "report-time": report_time,
    "CQ-Duration": duration,
    "CQ-duration-parts": duration_parts,
    "text-line:valueString": collected("valueString"),
    "blank-line:valueString": blank_line("valueString"),
    "blank-line:attachment": blank_line("attachment"),
    "text-line:comment": collected("comment"),
    "text-line:attachment": collected("attachment"),
    "joined-text": joined(" "),
    "joined-range": joined("-"),
    "concept-text": concept_text,
    "PL-Location": location_chain,
    "PL-Place": own_place,
}

READS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("CX-system", "CX-visit-system", "CX-order-system", "CX-practitioner-system"), (4, 5)),
    "EI-system": (2, 3, 4),
    "HD-system": (1, 2, 3),
    "CNN-system": (9, 10, 11),
}
"""Components whose text a function looks at, where it asks of the others no more than whether they hold anything."""

FACTORIES: dict[str, Callable[..., Converter]] = {"later": later, "minutes": minutes}
"""Functions of places: ``later(start;unit)``, ``minutes(unit)``; the unit may be left out."""

__all__ = [
    "FACTORIES",
    "FUNCTIONS",
    "PRIMITIVES",
    "READS",
    "Converter",
    "finish_texts",
    "sender_system",
    "string",
    "translated",
]
