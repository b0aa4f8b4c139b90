"""Long-standing conditions and reasons to come to hospital, as tables that all kinds of messages draw on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """A long-standing diagnosis: how notes write it, ICD-10, and what is taken for it."""

    name: str
    short: str
    code: str
    medicine: str
    doses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Presentation:
    """Why somebody comes: complaint, findings, diagnosis and treatment that go together.

    Attributes:
        complaint, findings, absent: what the patient has, and what is asked for and not found.
        tests: (name, lowest, highest, decimals, unit) of results worth writing down.
        imaging: one sentence, "" if none is made.
        diagnosis, short, code: as written out, as abbreviated, ICD-10.
        ruled_out: what it was not.
        medicine, dose, procedure: treatment; procedure is "" if there is none.
    """

    complaint: str
    findings: str
    absent: tuple[str, ...]
    tests: tuple[tuple[str, int, int, int, str], ...]
    imaging: str
    diagnosis: str
    short: str
    code: str
    ruled_out: str
    medicine: str
    dose: str
    procedure: str = ""


CHRONIC = (
    Condition("hypertension", "HTN", "I10", "amlodipine", ("5 mg OM", "10 mg OM")),
    Condition("type 2 diabetes mellitus", "T2DM", "E11.9", "metformin", ("500 mg BD", "850 mg TDS")),
    Condition("hyperlipidaemia", "HLD", "E78.5", "atorvastatin", ("20 mg ON", "40 mg ON")),
    Condition("ischaemic heart disease", "IHD", "I25.9", "aspirin", ("100 mg OM",)),
    Condition("chronic kidney disease", "CKD", "N18.9", "losartan", ("50 mg OM", "100 mg OM")),
    Condition("asthma", "asthma", "J45.9", "salbutamol", ("2 puffs PRN",)),
    Condition("atrial fibrillation", "AF", "I48.9", "apixaban", ("5 mg BD", "2.5 mg BD")),
    Condition("hypothyroidism", "hypothyroid", "E03.9", "levothyroxine", ("50 mcg OM", "100 mcg OM")),
    Condition("gout", "gout", "M10.9", "allopurinol", ("100 mg OM", "300 mg OM")),
    Condition("heart failure", "CCF", "I50.9", "furosemide", ("40 mg OM", "20 mg BD")),
    Condition("gastro-oesophageal reflux disease", "GERD", "K21.9", "omeprazole", ("20 mg OM",)),
    Condition("osteoarthritis", "OA", "M19.9", "paracetamol", ("1 g TDS PRN",)),
    Condition("depression", "depression", "F32.9", "sertraline", ("50 mg OM",)),
)

PRESENTATIONS = (
    Presentation(
        "fever and productive cough", "crepitations over the right lower zone", ("chest pain", "haemoptysis", "leg swelling"),
        (("CRP", 60, 220, 0, "mg/L"), ("WBC", 110, 220, 1, "x10^9/L")), "Chest X-ray showed right lower zone consolidation.",
        "community-acquired pneumonia", "CAP", "J18.9", "pulmonary tuberculosis", "co-amoxiclav", "1.2 g IV TDS",
    ),
    Presentation(
        "dysuria and urinary frequency", "suprapubic tenderness", ("flank pain", "rigors", "haematuria"),
        (("CRP", 10, 90, 0, "mg/L"), ("creatinine", 60, 160, 0, "umol/L")), "",
        "urinary tract infection", "UTI", "N39.0", "pyelonephritis", "ciprofloxacin", "500 mg BD",
    ),
    Presentation(
        "central chest pain radiating to the left arm", "a clear chest", ("shortness of breath", "syncope", "palpitations"),
        (("troponin T", 60, 900, 0, "ng/L"), ("haemoglobin", 95, 155, 1, "g/dL")), "Chest X-ray showed mild cardiomegaly.",
        "non-ST elevation myocardial infarction", "NSTEMI", "I21.4", "aortic dissection", "clopidogrel", "75 mg OM",
        "percutaneous coronary intervention",
    ),
    Presentation(
        "fever, myalgia and retro-orbital pain", "a blanching rash over both legs", ("bleeding", "abdominal pain", "vomiting"),
        (("platelets", 28, 120, 0, "x10^9/L"), ("haematocrit", 380, 520, 1, "%")), "",
        "dengue fever", "dengue", "A97.9", "malaria", "paracetamol", "1 g QDS PRN",
    ),
    Presentation(
        "right iliac fossa pain and vomiting", "guarding in the right iliac fossa", ("diarrhoea", "dysuria", "jaundice"),
        (("WBC", 110, 190, 1, "x10^9/L"), ("CRP", 20, 150, 0, "mg/L")), "CT abdomen showed a dilated appendix without abscess.",
        "acute appendicitis", "appendicitis", "K35.8", "ureteric colic", "metronidazole", "500 mg IV TDS", "laparoscopic appendicectomy",
    ),
    Presentation(
        "a swollen, painful left leg", "warmth and redness up to the knee", ("trauma", "chest pain", "calf tenderness"),
        (("CRP", 30, 180, 0, "mg/L"), ("glucose", 50, 160, 1, "mmol/L")), "Ultrasound showed no thrombus in the deep veins.",
        "cellulitis of the left leg", "cellulitis", "L03.1", "deep vein thrombosis", "cefazolin", "2 g IV TDS",
    ),
    Presentation(
        "a fall at home with right hip pain", "a shortened and rotated right leg", ("loss of consciousness", "head injury", "neck pain"),
        (("haemoglobin", 85, 130, 1, "g/dL"),), "X-ray of the pelvis showed a fracture of the right femoral neck.",
        "fracture of the right femoral neck", "R NOF #", "S72.0", "pelvic fracture", "enoxaparin", "40 mg SC OM", "hip hemiarthroplasty",
    ),
    Presentation(
        "breathlessness and ankle swelling", "bibasal crepitations and pitting oedema", ("fever", "chest pain", "cough"),
        (("NT-proBNP", 1200, 9800, 0, "ng/L"), ("creatinine", 80, 220, 0, "umol/L")), "Chest X-ray showed pulmonary congestion.",
        "decompensated heart failure", "ADHF", "I50.9", "pulmonary embolism", "furosemide", "40 mg IV BD",
    ),
    Presentation(
        "vomiting and watery diarrhoea", "a soft abdomen", ("blood in the stool", "fever", "recent travel"),
        (("potassium", 29, 38, 1, "mmol/L"), ("creatinine", 70, 190, 0, "umol/L")), "",
        "gastroenteritis", "GE", "A09", "acute cholecystitis", "metoclopramide", "10 mg TDS PRN",
    ),
)  # fmt: skip
