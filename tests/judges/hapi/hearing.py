"""What a real FHIR server makes of what ``convert`` emits: ``python tests/judges/hapi/hearing.py [PATH...]``.

Fetches HAPI FHIR's JPA server through Maven at the first run (370 MB in ``.cache/hapi``; Java 17), gives it the Bundle of
every message in turn, and prints what it refuses, and every patch and write after which it holds something other
than Wardstream means. By hand, for it takes a minute: not a part of ``make test``. Exit status 1 if there was any.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
JARS = ROOT / ".cache" / "hapi"
CODES_TWICE = ("AllergyIntolerance", "category")
"""HAPI 7 adds a code to a list of codes twice; once more says the same."""


def server() -> None:
    """The jars and the class that stands before them."""
    if not JARS.is_dir():
        fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*fetch, f"-DoutputDirectory={JARS}"], check=True)
    source = str(HERE / "Transactions.java")
    subprocess.run(
        ["javac", "-nowarn", "-Xlint:none", "-cp", f"{JARS}/*", "-d", str(JARS), source], check=True
    )


def heard(bundles: list[dict], folder: Path) -> list[list[str]]:
    """The server's line for each Bundle."""
    asked, said = folder / "asked", folder / "said"
    asked.write_text("".join(f"{json.dumps(bundle)}\n" for bundle in bundles), encoding="utf-8")
    command = ["java", "-Xmx3g", "-cp", f"{JARS}:{JARS}/*", "Transactions", str(asked), str(said)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [line.split("\t") for line in said.read_text(encoding="utf-8").splitlines()]


def plain(text: str) -> dict | None:
    """A resource without what a server adds."""
    resource = json.loads(text)
    if resource is not None:
        for name in ("versionId", "lastUpdated", "source"):
            resource.get("meta", {}).pop(name, None)
        if not resource.get("meta", True):
            del resource["meta"]
        kind, name = CODES_TWICE
        if resource["resourceType"] == kind and name in resource:
            resource[name] = list(dict.fromkeys(resource[name]))
    return resource


def differences(bundle: dict, line: list[str]) -> list[str]:
    """What is held otherwise than meant."""
    from fhir_patch import apply, comparable

    if line[0] == "refused":
        return [f"refused: {line[1]}"]
    found = []
    entries = {entry["request"]["url"]: entry for entry in bundle["entry"]}
    for at in range(0, len(line) - 3, 4):
        _, url, before, after = line[at : at + 4]
        entry, old = entries[url], plain(before)
        if entry["request"]["method"] == "PATCH":
            meant = apply(entry["resource"], old) if old else None
        elif entry["request"].get("ifNoneMatch") == "*" and old is not None:
            meant = old
        else:
            meant = plain(json.dumps(entry.get("resource")))
        if comparable(meant) != comparable(plain(after)):
            how = " ifNoneMatch" if "ifNoneMatch" in entry["request"] else ""
            found.append(f"{entry['request']['method']}{how} {url}: held otherwise than meant")
    return found


def main(paths: list[str]) -> int:
    server()
    convert = [
        str(Path(sys.executable).parent / "wardstream"),
        "convert",
        *(paths or [str(ROOT / "fixtures" / "hl7v2")]),
    ]
    lines = subprocess.run(convert, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    outcomes = [outcome for outcome in map(json.loads, lines) if outcome["bundle"]]
    with tempfile.TemporaryDirectory() as folder:
        said = heard([outcome["bundle"] for outcome in outcomes], Path(folder))
    wrong = 0
    for outcome, line in zip(outcomes, said, strict=True):
        for words in differences(outcome["bundle"], line):
            wrong += 1
            sys.stdout.write(f"{outcome['source']['path']}[{outcome['source']['index']}] {words}\n")
    sys.stdout.write(f"{len(outcomes)} Bundles, {wrong} differences\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    sys.exit(main(sys.argv[1:]))
