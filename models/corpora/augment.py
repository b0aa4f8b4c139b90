"""More training texts from those there are: abbreviations and long forms exchanged, entities put in each other's place.

Noise on words is added later, on pieces (:mod:`models.training.loop`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.records import Label
from models.corpora.document import Document, Gold

#: What wards write for each other. Only pairs that mean one thing in a clinical note.
ABBREVIATIONS: Mapping[str, str] = {
    "hypertension": "HTN", "diabetes mellitus": "DM", "type 2 diabetes mellitus": "T2DM", "shortness of breath": "SOB",
    "ischaemic heart disease": "IHD", "ischemic heart disease": "IHD", "myocardial infarction": "MI",
    "atrial fibrillation": "AF", "congestive heart failure": "CHF", "coronary artery disease": "CAD",
    "chronic kidney disease": "CKD", "end-stage renal disease": "ESRD", "urinary tract infection": "UTI",
    "deep vein thrombosis": "DVT", "pulmonary embolism": "PE", "chronic obstructive pulmonary disease": "COPD",
    "upper respiratory tract infection": "URTI", "cerebrovascular accident": "CVA", "loss of weight": "LOW",
    "loss of appetite": "LOA", "benign prostatic hyperplasia": "BPH", "rheumatoid arthritis": "RA",
    "gastroesophageal reflux disease": "GERD", "tuberculosis": "TB", "acute kidney injury": "AKI",
    "electrocardiogram": "ECG", "chest x-ray": "CXR", "computed tomography": "CT", "magnetic resonance imaging": "MRI",
    "full blood count": "FBC", "liver function test": "LFT", "blood pressure": "BP", "heart rate": "HR",
    "haemoglobin": "Hb", "hemoglobin": "Hb", "white blood cell count": "WBC", "creatinine": "Cr",
    "c-reactive protein": "CRP", "echocardiography": "echo", "oxygen saturation": "SpO2",
    "glyceryl trinitrate": "GTN", "hydrochlorothiazide": "HCTZ", "nonsteroidal anti-inflammatory drugs": "NSAIDs",
    "once daily": "OD", "twice daily": "BD", "three times daily": "TDS", "every morning": "OM", "every night": "ON",
    "when required": "PRN", "intravenous": "IV", "oral": "PO", "subcutaneous": "SC",
    "coronary artery bypass grafting": "CABG", "percutaneous coronary intervention": "PCI",
    "total knee replacement": "TKR", "left ventricle": "LV", "right ventricle": "RV",
}  # fmt: skip


class Augmenter:
    """Changes documents at random.

    Args:
        documents: training texts; what may stand in an entity's place is taken from them.
        synonyms: share of entities exchanged for another of the same label.
        abbreviations: share of entities that are a known long form or abbreviation and are exchanged for the other.
    """

    def __init__(self, documents: Sequence[Document], synonyms: float, abbreviations: float) -> None:
        self._synonyms, self._abbreviations = synonyms, abbreviations
        self._short = dict(ABBREVIATIONS)
        self._long = {short.lower(): long for long, short in ABBREVIATIONS.items()}
        kinds: dict[Label, set[str]] = defaultdict(set)
        for doc in documents:
            for gold in doc.gold:
                kinds[gold.label].add(doc.text[gold.start : gold.end])
        # Sorted: sets have no order that would be the same in the next process.
        self._others = {label: sorted(texts) for label, texts in kinds.items()}

    def __call__(self, doc: Document, chance: random.Random) -> Document:
        """The document with some entities' text changed and all offsets moved to fit."""
        text, gold, done = [], [], 0
        length = 0
        for item in doc.gold:
            between = doc.text[done : item.start]
            own = self._changed(doc.text[item.start : item.end], item.label, chance)
            start = length + len(between)
            text += [between, own]
            length = start + len(own)
            gold.append(Gold(start, length, item.label))
            done = item.end
        text.append(doc.text[done:])
        return replace(doc, text="".join(text), gold=tuple(gold))

    def _changed(self, own: str, label: Label, chance: random.Random) -> str:
        other = self._short.get(own.lower()) or self._long.get(own.lower())
        if other is not None and chance.random() < self._abbreviations:
            return other
        if chance.random() < self._synonyms:
            return chance.choice(self._others[label])
        return own
