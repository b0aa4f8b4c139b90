"""Label names of well-known corpora, and ours for them.

A name that maps to None is known and has no label here; a name in neither the table nor ``--labels`` is reported.
Where two corpora use one name for different things the commoner use wins, and ``--labels`` overrides it.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import SettingsError
from engine.records import Label

LabelMap = Mapping[str, Label | None]

_P, _M, _D, _T = Label.PROBLEM, Label.MEDICATION, Label.DOSAGE, Label.TEST
_V, _O, _A = Label.TEST_VALUE, Label.PROCEDURE, Label.ANATOMY

# Keys are in lower case with "_" for every separator.
KNOWN: dict[str, Label | None] = {
    # MACCROBAT 2018/2020 (Caufield et al.)
    "sign_symptom": _P, "disease_disorder": _P, "medication": _M, "dosage": _D, "administration": _D,
    "frequency": _D, "diagnostic_procedure": _T, "lab_value": _V, "therapeutic_procedure": _O,
    "biological_structure": _A, "history": None, "family_history": None, "age": None, "sex": None,
    "clinical_event": None, "nonbiological_location": None, "detailed_description": None, "severity": None,
    "distance": None, "area": None, "volume": None, "mass": None, "color": None, "shape": None, "texture": None,
    "duration": None, "date": None, "time": None, "coreference": None, "outcome": None, "activity": None,
    "subject": None, "occupation": None, "personal_background": None, "biological_attribute": None,
    "qualitative_concept": None, "quantitative_concept": None, "other_event": None, "other_entity": None,
    "height": None, "weight": None,
    # BC5CDR (Li et al. 2016), NCBI disease (Doğan et al. 2014)
    "chemical": _M, "disease": _P, "specificdisease": _P, "diseaseclass": _P, "modifier": _P,
    "compositemention": _P,
    # i2b2/VA 2010, i2b2 2012
    "problem": _P, "treatment": None, "test": _T, "occurrence": None, "evidential": None, "clinical_dept": None,
    # i2b2 2009, n2c2 2018 track 2: strength, form, route and frequency are parts of a dose
    "drug": _M, "strength": _D, "form": _D, "route": _D, "do": _D, "f": _D, "mo": _D, "m": _M, "r": None,
    "reason": _P, "ade": _P, "dose": _D, "mode": _D,
    "ln": None, "du": None,
    # CADEC (Karimi et al. 2015), ShARe/CLEF (Pradhan et al. 2013), E3C, DDI (Herrero-Zazo et al. 2013)
    "adr": _P, "disorder": _P, "clinentity": _P, "bodypart": _A, "rml": _V, "actor": None, "event": None, "timex3": None,
    "drug_n": _M, "brand": _M, "group": _M,
    # MedMentions (Mohan and Li 2019): UMLS types, and semantic groups as others name them
    "t047": _P, "t184": _P, "t191": _P, "t046": _P, "t048": _P, "t037": _P, "t019": _P, "t020": _P, "t190": _P,
    "t049": _P, "t121": _M, "t200": _M, "t195": _M, "t059": _T, "t060": _T, "t034": _V, "t061": _O, "t023": _A,
    "t029": _A, "t030": _A, "t024": _A, "t022": _A, "t017": _A, "t033": None,
    "diso": _P, "chem": _M, "anat": _A, "proc": None, "phys": None, "livb": None, "devi": None, "objc": None,
    # BioRED, JNLPBA, CHIA (Kury et al. 2020)
    "chemicalentity": _M, "diseaseorphenotypicfeature": _P, "geneorgeneproduct": None, "sequencevariant": None,
    "organismtaxon": None, "cellline": None, "gene": None, "species": None, "protein": None, "dna": None, "rna": None,
    "cell_type": None, "cell_line": None, "measurement": _T, "condition": _P, "observation": None, "person": None,
    "temporal": None, "qualifier": None, "device": None, "visit": None, "negation": None, "negation_cue": None,
    # MedMentions' semantic types of groups (ST21pv), AnatEM, TAC 2017
    "t103": _M, "t109": _M, "t031": _A, "t038": None, "t058": None, "t082": None, "t098": None,
    "t074": None, "t170": None, "t201": None, "t204": None, "t005": None, "t007": None, "t062": None, "t091": None,
    "t092": None, "t097": None, "t168": None, "t116": None, "t123": None, "t131": None, "t081": None, "t129": None,
    "organ": _A, "tissue": _A, "multi_tissue_structure": _A, "organism_subdivision": _A, "anatomical_system": _A,
    "cancer": _P, "tumor": _P, "tumour": _P, "cell": None, "adversereaction": _P, "adverse_event": _P, "indication": _P,
    # Our own, and what sites tend to write
    "test_value": _V, "value": _V, "procedure": _O, "anatomy": _A, "symptom": _P, "diagnosis": _P, "diagnoses": _P, "finding": _P,
    "lab_test": _T, "body_part": _A, "body_site": _A, "body_location": _A, "anatomical_site": _A, "lab": _T,
    "laboratory": _T, "vital_sign": _T, "test_result": _V, "lab_result": _V, "medicine": _M, "drug_name": _M,
    "medication_name": _M, "surgery": _O, "operation": _O, "sign": _P, "medical_condition": _P, "vital": _T,
    "imaging": _T, "test_name": _T, "result": _V, "dose_form": _D, "drug_brandname": _M, "drug_ingredient": _M,
    "disease_syndrome_disorder": _P, "internal_organ_or_component": _A, "external_body_part_or_region": _A,
}  # fmt: skip
_PLURALS = {f"{name}s": label for name, label in KNOWN.items() if len(name) > 3 and not name.endswith("s")}
_JOINED = {name.replace("_", ""): label for name, label in (_PLURALS | KNOWN).items()}


def normal(name: str) -> str:
    """A label's name as :data:`KNOWN` spells it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def parse_labels(text: str) -> dict[str, Label | None]:
    """``Chemical=MEDICATION,Gene=`` to a map; nothing behind ``=`` leaves the name out.

    Raises:
        SettingsError: not of that form, or no label of ours.
    """
    chosen: dict[str, Label | None] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, target = part.partition("=")
        target = target.strip().upper()
        if not equals or (target and target not in Label.__members__):
            raise SettingsError(
                f"{part!r} is no mapping of a label",
                location="--labels",
                action=f"Write NAME=LABEL,...; labels are {', '.join(Label)}; nothing behind = leaves NAME out.",
            )
        chosen[normal(name)] = Label(target) if target else None
    return chosen


def label_map(labels: str) -> LabelMap:
    """The built-in table, also in the plural and without separators (``SignSymptom``), with the caller's ``--labels`` on top."""
    return {**_JOINED, **_PLURALS, **KNOWN, **parse_labels(labels)}
