"""R4's invariants of resources and their backbone elements, as a table; see :mod:`engine.fhir.invariants`."""

from __future__ import annotations

from engine.fhir.invariants import (
    Invariant,
    Json,
    Test,
    child,
    coded,
    has,
    has_choice,
    number,
    objects,
)
from engine.fhir.moments import is_after

_IN_ERROR = "entered-in-error"


def _any_of(*names: str) -> Test:
    return lambda node: has(node, *names)


def _not_both(first: str, second: str) -> Test:
    return lambda node: not (has(node, first) and has(node, second))


def _needs(first: str, second: str) -> Test:
    return lambda node: not has(node, first) or has(node, second)


def _appointment_times(node: Json) -> bool:
    """app-3. A status that is missing or wrong is found elsewhere."""
    return has(node, "start", "end") or node.get("status", "proposed") in (
        "proposed",
        "cancelled",
        "waitlist",
    )


def _component_repeats_value(node: Json) -> bool:
    """obs-7: a component with the code of the Observation is its value: then value[x] must not be there."""
    if not node.get("component") or not has_choice(node, "value"):
        return True
    own = [(c.get("system"), c.get("code")) for c in objects(child(node, "code"), "coding")]
    theirs = (c for part in objects(node, "component") for c in objects(child(part, "code"), "coding"))
    return not any((c.get("system"), c.get("code")) in own for c in theirs)


def _on_behalf(node: Json) -> bool:
    """ctm-1: onBehalfOf only for a member that is a Practitioner, as far as the reference tells."""
    reference = child(node, "member").get("reference")
    if not has(node, "onBehalfOf") or not isinstance(reference, str) or "/" not in reference:
        return True
    return reference.rsplit("/", 2)[-2] == "Practitioner" or ":" in reference


def _no_home(name: str) -> Test:
    return lambda node: all(item.get("use") != "home" for item in objects(node, name))


def _parameter(node: Json) -> bool:
    value, resource = has_choice(node, "value"), has(node, "resource")
    return not value and not resource if has(node, "part") else value != resource


def _entries(node: Json, flag: str, kinds: tuple[str, ...]) -> bool:
    """Every entry has ``flag`` just when the Bundle is of one of ``kinds``."""
    expected = node.get("type") in kinds
    return all(has(entry, flag) == expected for entry in objects(node, "entry"))


def _distinct_urls(node: Json) -> bool:
    """bdl-7."""
    if node.get("type") == "history":
        return True
    seen = [
        (entry["fullUrl"], child(child(entry, "resource"), "meta").get("versionId"))
        for entry in objects(node, "entry")
        if isinstance(entry.get("fullUrl"), str)
    ]
    return len({(url, version if isinstance(version, str) else "") for url, version in seen}) == len(seen)


def _first_is(resource_type: str) -> Test:
    def test(node: Json) -> bool:
        first = next(iter(objects(node, "entry")), {})
        return child(first, "resource").get("resourceType") == resource_type

    return test


def _when(kind: str, test: Test) -> Test:
    """The rule of one type of Bundle."""
    return lambda node: node.get("type") != kind or test(node)


_REQUESTS = ("batch", "transaction", "history")
_RESPONSES = ("batch-response", "transaction-response", "history")

RESOURCES: tuple[Invariant, ...] = (
    Invariant(
        "ait-1",
        ("AllergyIntolerance",),
        "clinicalStatus is there unless verificationStatus is entered-in-error",
        lambda n: coded(n, "verificationStatus", _IN_ERROR) or has(n, "clinicalStatus"),
    ),
    Invariant(
        "ait-2",
        ("AllergyIntolerance",),
        "No clinicalStatus when verificationStatus is entered-in-error",
        lambda n: not (coded(n, "verificationStatus", _IN_ERROR) and has(n, "clinicalStatus")),
        ("clinicalStatus",),
    ),
    Invariant("app-1", ("Appointment.participant",), "A type or an actor", _any_of("type", "actor")),
    Invariant(
        "app-2",
        ("Appointment",),
        "start and end come together",
        lambda n: has(n, "start") == has(n, "end"),
        ("start", "end"),
    ),
    Invariant(
        "app-3",
        ("Appointment",),
        "Only proposed, cancelled and waitlist go without start and end",
        _appointment_times,
    ),
    Invariant(
        "app-4",
        ("Appointment",),
        "cancelationReason only with status cancelled or no-show",
        lambda n: not has(n, "cancelationReason") or n.get("status") in ("no-show", "cancelled"),
        ("cancelationReason",),
    ),
    Invariant(
        "apr-1",
        ("AppointmentResponse",),
        "A participantType or an actor",
        _any_of("participantType", "actor"),
    ),
    Invariant(
        "bdl-1",
        ("Bundle",),
        "total only in searchset and history",
        lambda n: not has(n, "total") or n.get("type") in ("searchset", "history"),
        ("total",),
    ),
    Invariant(
        "bdl-2",
        ("Bundle",),
        "entry.search only in searchset",
        lambda n: n.get("type") == "searchset" or not any(has(e, "search") for e in objects(n, "entry")),
    ),
    Invariant(
        "bdl-3",
        ("Bundle",),
        "entry.request just in batch, transaction and history",
        lambda n: _entries(n, "request", _REQUESTS),
    ),
    Invariant(
        "bdl-4",
        ("Bundle",),
        "entry.response just in responses and history",
        lambda n: _entries(n, "response", _RESPONSES),
    ),
    Invariant(
        "bdl-5",
        ("Bundle.entry",),
        "A resource, request or response",
        _any_of("resource", "request", "response"),
    ),
    Invariant("bdl-7", ("Bundle",), "A fullUrl stands once, unless versions differ", _distinct_urls),
    Invariant(
        "bdl-8",
        ("Bundle.entry",),
        "fullUrl names no version",
        lambda n: "/_history/" not in str(n.get("fullUrl", "")),
        ("fullUrl",),
    ),
    Invariant(
        "bdl-9",
        ("Bundle",),
        "A document has an identifier with system and value",
        _when("document", lambda n: {"system", "value"} <= child(n, "identifier").keys()),
    ),
    Invariant(
        "bdl-10", ("Bundle",), "A document has a timestamp", _when("document", lambda n: "timestamp" in n)
    ),
    Invariant(
        "bdl-11",
        ("Bundle",),
        "A document begins with a Composition",
        _when("document", _first_is("Composition")),
    ),
    Invariant(
        "bdl-12",
        ("Bundle",),
        "A message begins with a MessageHeader",
        _when("message", _first_is("MessageHeader")),
    ),
    Invariant(
        "ces-1",
        ("CoverageEligibilityResponse.insurance.item",),
        "Either category or productOrService",
        lambda n: has(n, "category") != has(n, "productOrService"),
    ),
    Invariant(
        "cmp-1", ("Composition.section",), "A text, entries or sections", _any_of("text", "entry", "section")
    ),
    Invariant(
        "cmp-2",
        ("Composition.section",),
        "emptyReason only without entries",
        _not_both("emptyReason", "entry"),
        ("emptyReason",),
    ),
    Invariant("con-1", ("Condition.stage",), "A summary or an assessment", _any_of("summary", "assessment")),
    Invariant("con-2", ("Condition.evidence",), "A code or a detail", _any_of("code", "detail")),
    Invariant(
        "con-4",
        ("Condition",),
        "abatement only with clinicalStatus inactive, resolved or remission",
        lambda n: (
            not has_choice(n, "abatement") or coded(n, "clinicalStatus", "resolved", "remission", "inactive")
        ),
        ("abatement[x]",),
    ),
    Invariant(
        "con-5",
        ("Condition",),
        "No clinicalStatus when verificationStatus is entered-in-error",
        lambda n: not (coded(n, "verificationStatus", _IN_ERROR) and has(n, "clinicalStatus")),
        ("clinicalStatus",),
    ),
    Invariant(
        "cpl-3",
        ("CarePlan.activity",),
        "Either detail or reference",
        _not_both("detail", "reference"),
        ("detail",),
    ),
    Invariant(
        "ctm-1", ("CareTeam.participant",), "onBehalfOf only for a Practitioner", _on_behalf, ("onBehalfOf",)
    ),
    Invariant(
        "fhs-1",
        ("FamilyMemberHistory",),
        "Either age or born",
        lambda n: not (has_choice(n, "age") and has_choice(n, "born")),
        ("age[x]", "estimatedAge"),
    ),
    Invariant(
        "fhs-2",
        ("FamilyMemberHistory",),
        "estimatedAge needs an age",
        lambda n: not has(n, "estimatedAge") or has_choice(n, "age"),
        ("estimatedAge",),
    ),
    Invariant(
        "gol-1",
        ("Goal.target",),
        "detail needs a measure",
        lambda n: not has_choice(n, "detail") or has(n, "measure"),
        ("detail[x]",),
    ),
    Invariant(
        "grp-1",
        ("Group",),
        "member only when actual",
        lambda n: not has(n, "member") or n.get("actual") is True,
        ("member",),
    ),
    Invariant(
        "imm-1",
        ("Immunization.education",),
        "A documentType or a reference",
        _any_of("documentType", "reference"),
    ),
    Invariant(
        "imr-1",
        ("ImmunizationRecommendation.recommendation",),
        "A vaccineCode or a targetDisease",
        _any_of("vaccineCode", "targetDisease"),
    ),
    Invariant(
        "inv-1",
        ("Task",),
        "lastModified is not before authoredOn",
        lambda n: not is_after(n.get("authoredOn"), n.get("lastModified")),
        ("lastModified",),
    ),
    Invariant("inv-1", ("Parameters.parameter",), "Just one of value, resource and part", _parameter),
    Invariant("ipn-1", ("InsurancePlan",), "An identifier or a name", _any_of("identifier", "name")),
    Invariant("lnk-1", ("Linkage",), "At least two items", lambda n: len(objects(n, "item")) > 1),
    Invariant(
        "lst-1",
        ("List",),
        "emptyReason only without entries",
        _not_both("emptyReason", "entry"),
        ("emptyReason",),
    ),
    Invariant(
        "mad-1",
        ("MedicationAdministration.dosage",),
        "A dose or a rate",
        lambda n: has(n, "dose") or has_choice(n, "rate"),
    ),
    Invariant(
        "mdd-1",
        ("MedicationDispense",),
        "whenHandedOver is not before whenPrepared",
        lambda n: not is_after(n.get("whenPrepared"), n.get("whenHandedOver")),
        ("whenPrepared",),
    ),
    Invariant(
        "obs-3", ("Observation.referenceRange",), "A low, high or text", _any_of("low", "high", "text")
    ),
    Invariant(
        "obs-6",
        ("Observation",),
        "dataAbsentReason only without a value",
        lambda n: not (has(n, "dataAbsentReason") and has_choice(n, "value")),
        ("dataAbsentReason",),
    ),
    Invariant(
        "obs-7",
        ("Observation",),
        "No value beside a component with the same code",
        _component_repeats_value,
        ("value[x]",),
    ),
    Invariant("org-1", ("Organization",), "An identifier or a name", _any_of("identifier", "name")),
    Invariant("org-2", ("Organization",), "No home address", _no_home("address"), ("address.use=home",)),
    Invariant("org-3", ("Organization",), "No home telecom", _no_home("telecom"), ("telecom.use=home",)),
    Invariant(
        "pat-1",
        ("Patient.contact",),
        "A name, telecom, address or organization",
        _any_of("name", "telecom", "address", "organization"),
    ),
    Invariant("ppc-1", ("Consent",), "A policy or a policyRule", _any_of("policy", "policyRule")),
    Invariant(
        "prr-1",
        ("ServiceRequest",),
        "orderDetail needs a code",
        _needs("orderDetail", "code"),
        ("orderDetail",),
    ),
    Invariant(
        "ras-2",
        ("RiskAssessment.prediction",),
        "probability is at most 100",
        lambda n: (number(n, "probabilityDecimal") or 0) <= 100,
        ("probabilityDecimal",),
    ),
    Invariant(
        "rqg-1",
        ("RequestGroup.action",),
        "Either resource or action",
        lambda n: has(n, "resource") != has(n, "action"),
    ),
    Invariant("sev-1", ("AuditEvent.entity",), "Either name or query", _not_both("name", "query"), ("name",)),
)
"""Errors of the clinical, administrative and infrastructure resources; conformance resources are left out."""
