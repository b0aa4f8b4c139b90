"""Laboratory panels with LOINC, units, reference intervals, and values that are mostly but not always normal."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.replay.generate.chance import Chance


@dataclass(frozen=True, slots=True)
class Analyte:
    """One test. ``low`` and ``high`` bound what is usual; ``upper_only`` ones state ``<high`` alone."""

    loinc: str
    name: str
    local: str
    unit: str
    low: float
    high: float
    decimals: int
    upper_only: bool = False

    @property
    def interval(self) -> str:
        high = f"{self.high:.{self.decimals}f}"
        return f"<{high}" if self.upper_only else f"{self.low:.{self.decimals}f}-{high}"

    def result(self, chance: Chance) -> tuple[str, str]:
        """(value, flag of table 0078): outside of the reference interval about one time in ten."""
        half = (self.high - self.low) / 2
        value = self.low + half + chance.bell() * half * 0.6
        if chance.happens(0.03):
            value = self.high + half * chance.between(2, 5)
        value = max(value, self.high / 50)
        flag = "N"
        if value > self.high:
            flag = "HH" if value > self.high + 2 * half else "H"
        elif value < self.low and not self.upper_only:
            flag = "LL" if value < self.low - half else "L"
        return f"{value:.{self.decimals}f}", flag


@dataclass(frozen=True, slots=True)
class Panel:
    """What is ordered together. ``code`` is a raw CE value."""

    code: str
    section: str
    analytes: tuple[Analyte, ...]


def _local(code: str, name: str) -> str:
    return f"{code}^{name}^99KGH"


_HB = Analyte("718-7", "Hemoglobin [Mass/volume] in Blood", "HB", "g/dL", 12.0, 16.0, 1)
_CREATININE = Analyte("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", "CREA", "umol/L", 50, 100, 0)
_POTASSIUM = Analyte("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "K", "mmol/L", 3.5, 5.1, 1)

PANELS: dict[str, Panel] = {
    "FBC": Panel(
        f"58410-2^CBC panel - Blood by Automated count^LN^{_local('FBC', 'Full blood count')}",
        "HM",
        (
            _HB,
            Analyte("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "WBC", "10*9/L", 4.0, 10.0, 2),
            Analyte("789-8", "Erythrocytes [#/volume] in Blood by Automated count", "RBC", "10*12/L", 4.0, 5.5, 2),
            Analyte("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "HCT", "%", 36.0, 48.0, 1),
            Analyte("787-2", "MCV [Entitic volume] by Automated count", "MCV", "fL", 80.0, 98.0, 1),
            Analyte("777-3", "Platelets [#/volume] in Blood by Automated count", "PLT", "10*9/L", 150, 400, 0),
        ),
    ),
    "UECR": Panel(
        _local("UECR", "Urea, electrolytes and creatinine"),
        "CH",
        (
            Analyte("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "NA", "mmol/L", 135, 145, 0),
            _POTASSIUM,
            Analyte("2075-0", "Chloride [Moles/volume] in Serum or Plasma", "CL", "mmol/L", 98, 107, 0),
            Analyte("22664-7", "Urea [Moles/volume] in Serum or Plasma", "UREA", "mmol/L", 2.5, 7.5, 1),
            _CREATININE,
        ),
    ),
    "LFT": Panel(
        f"24325-3^Hepatic function 2000 panel - Serum or Plasma^LN^{_local('LFT', 'Liver function tests')}",
        "CH",
        (
            Analyte("14631-6", "Bilirubin.total [Moles/volume] in Serum or Plasma", "TBIL", "umol/L", 5, 25, 0),
            Analyte("1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "ALT", "U/L", 10, 45, 0),
            Analyte("1920-8", "Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "AST", "U/L", 10, 40, 0),
            Analyte("1751-7", "Albumin [Mass/volume] in Serum or Plasma", "ALB", "g/L", 35, 50, 0),
        ),
    ),
    "LIPID": Panel(
        f"24331-1^Lipid 1996 panel - Serum or Plasma^LN^{_local('LIPID', 'Lipid panel')}",
        "CH",
        (
            Analyte("14647-2", "Cholesterol [Moles/volume] in Serum or Plasma", "CHOL", "mmol/L", 3.2, 5.2, 2, upper_only=True),
            Analyte("14646-4", "Cholesterol in HDL [Moles/volume] in Serum or Plasma", "HDL", "mmol/L", 1.0, 2.2, 2),
            Analyte("14927-8", "Triglyceride [Moles/volume] in Serum or Plasma", "TG", "mmol/L", 0.5, 1.7, 2, upper_only=True),
        ),
    ),
    "DM": Panel(
        _local("DM", "Diabetes monitoring"),
        "CH",
        (
            Analyte("14749-6", "Glucose [Moles/volume] in Serum or Plasma", "GLU", "mmol/L", 3.9, 7.8, 1),
            Analyte("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "HBA1C", "%", 4.5, 6.5, 1),
        ),
    ),
    "CRP": Panel(
        f"1988-5^C reactive protein [Mass/volume] in Serum or Plasma^LN^{_local('CRP', 'C-reactive protein')}",
        "CH",
        (Analyte("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "CRP", "mg/L", 0.4, 5.0, 1, upper_only=True),),
    ),
    "TFT": Panel(
        _local("TFT", "Thyroid function"),
        "CH",
        (
            Analyte("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "TSH", "m[IU]/L", 0.4, 4.0, 2),
            Analyte("14920-3", "Thyroxine (T4) free [Moles/volume] in Serum or Plasma", "FT4", "pmol/L", 10.0, 22.0, 1),
        ),
    ),
}  # fmt: skip
ANALYTES: tuple[Analyte, ...] = tuple({a.loinc: a for p in PANELS.values() for a in p.analytes}.values())
COMMENTS = (
    "Sample slightly haemolysed; potassium may be raised.",
    "Repeated and confirmed.",
    "Fasting state not stated.",
    "Result phoned to the ward.",
)
