"""Who made what of which message: the Provenance resources of a Bundle, at the detail that a site asks for.

The tables make a Provenance of the message (MSH, EVN) and others of single acts (ORC). Here they get what
no row can say: that this engine assembled the resources, from which message, by which tables.

=========  ==============================================================================================
detail     the Provenance of the message has
=========  ==============================================================================================
off        (there is none)
message    ``target`` every resource, ``entity`` the message, ``policy`` the digest of the tables
segment    and, on every target, the extension ``source-segment``: the segment that made it, ``OBX[3]``
=========  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.hl7v2.tree import Message
from engine.keys import resource_id

Json = dict[str, Any]
Detail = Literal["off", "message", "segment"]

ASSEMBLER = {
    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "code": "assembler",
    "display": "Assembler",
}


def assembler(version: str) -> Json:
    """The Device that stands for this engine in Provenance."""
    return {
        "resourceType": "Device",
        "id": resource_id("Device", "wardstream"),
        "deviceName": [{"name": "Wardstream", "type": "user-friendly-name"}],
        "version": [{"value": version}],
    }


@dataclass(frozen=True, slots=True)
class Maker:
    """Completes the Provenance resources of one message after the other.

    Attributes:
        device: see :func:`assembler`.
        detail: see the head of this module.
        rules: digest of the tables.
        base: root of the URIs that must be invented.
    """

    device: Json
    detail: Detail
    rules: str
    base: str

    def complete(self, resources: list[Json], sources: Mapping[str, str], message: Message) -> list[Json]:
        """The resources with their Provenance last, and the Device if there is one.

        Args:
            resources: what was made of the message, with ids.
            sources: reference of each resource to the location of the segment that made it.
            message: where all of it came from.
        """
        others = [r for r in resources if r["resourceType"] != "Provenance"]
        # FHIR wants to know when a Provenance was recorded, and no clock may be asked here: where the message
        # does not tell, it is marked as unknown, as every required element is.
        provenances = [r for r in resources if r["resourceType"] == "Provenance"]
        if self.detail == "off" or not provenances:
            return others
        for provenance in provenances:
            if _is_of_message(provenance):
                self._of_message(provenance, others, sources, message)
            elif "agent" in provenance:
                continue
            provenance.setdefault("agent", []).append(
                {"type": {"coding": [dict(ASSEMBLER)]}, "who": {"reference": f"Device/{self.device['id']}"}}
            )
        return [*others, self.device, *provenances]

    def _of_message(
        self, provenance: Json, others: list[Json], sources: Mapping[str, str], message: Message
    ) -> None:
        provenance["target"] = [self._target(f"{r['resourceType']}/{r['id']}", sources) for r in others]
        provenance["policy"] = [f"{self.base}maps:{self.rules}"]
        header = next((r["id"] for r in others if r["resourceType"] == "MessageHeader"), "")
        what: Json = {"reference": f"MessageHeader/{header}"} if header else {}
        if control_id := message.control_id.strip():
            what["identifier"] = {"value": control_id}
        what["display"] = f"HL7 v2 message {message.message_type}".strip()
        provenance["entity"] = [{"role": "source", "what": what}]

    def _target(self, reference: str, sources: Mapping[str, str]) -> Json:
        segment = sources.get(reference, "")
        if self.detail != "segment" or not segment:
            return {"reference": reference}
        url = f"{self.base}StructureDefinition/source-segment"
        return {"reference": reference, "extension": [{"url": url, "valueString": segment}]}


def _is_of_message(provenance: Json) -> bool:
    """One with targets other than the MessageHeader tells who did what to those alone, and stays as it is."""
    return all(t["reference"].startswith("MessageHeader/") for t in provenance.get("target", ()))
