/**
 * Holds what `wardstream convert` wrote against the panel of judges.
 *
 *     node judge.mjs CONVERTED.ndjson...        - is standard input
 *
 * Prints every finding that no exception covers, grouped by judge, message, resource type and path, and every
 * exception that covered nothing. The last line is a summary in JSON. Exit status 1 when there was a finding.
 */
import fs from "node:fs";
import readline from "node:readline";
import * as fhirjs from "./panel/fhirjs.mjs";
import * as medplum from "./panel/medplum.mjs";
import * as own from "./panel/own.mjs";
import * as schema from "./panel/schema.mjs";

const SHOWN = 3; // messages named for each group
const exceptions = JSON.parse(fs.readFileSync(new URL("./exceptions.json", import.meta.url))).map((each) => ({
  ...each,
  used: 0,
  tests: ["judge", "type", "path", "message", "value"]
    .filter((part) => part in each)
    .map((part) => [part, new RegExp(`^(?:${each[part]})$`, "s")]),
}));

const groups = new Map();
const totals = { messages: 0, bundles: 0, resources: 0, findings: 0, excepted: 0, stale: 0 };

for (const file of process.argv.slice(2)) {
  const input = file === "-" ? process.stdin : fs.createReadStream(file);
  for await (const line of readline.createInterface({ input })) {
    judgeReport(JSON.parse(line));
  }
}
print();

function judgeReport({ source, bundle }) {
  totals.messages += 1;
  if (!bundle) return;
  totals.bundles += 1;
  totals.resources += bundle.entry?.length ?? 0;
  // HL7 v2 types are like ADT^A01^ADT_A01, those of FHIR are names of resources.
  const closed = /^[A-Z0-9]{3}(\^|$)/.test(source.message_type);
  for (const judge of [medplum, schema, fhirjs, own]) {
    for (const finding of judge.judge(bundle, { closed })) note({ judge: judge.name, ...finding }, source);
  }
}

function note(finding, source) {
  const shown = { ...finding, path: finding.path.replace(/\[\d+\]/g, ""), value: text(finding.value) };
  const exception = exceptions.find(({ tests }) => tests.every(([part, test]) => test.test(shown[part])));
  if (exception) {
    exception.used += 1;
    totals.excepted += 1;
    return;
  }
  totals.findings += 1;
  const key = [shown.judge, shown.message, shown.type, shown.path].join("\t");
  const group = groups.get(key) ?? { ...shown, count: 0, sources: new Set() };
  group.count += 1;
  if (group.sources.size < SHOWN) group.sources.add(`${source.path}#${source.index}`);
  groups.set(key, group);
}

function text(value) {
  return value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
}

function print() {
  for (const group of [...groups.values()].sort((a, b) => b.count - a.count)) {
    console.log(`${group.count} x ${group.judge}: ${group.message}`);
    console.log(`    ${group.type}: ${group.path}${group.value ? ` = ${group.value.slice(0, 120)}` : ""}`);
    console.log(`    ${[...group.sources].join(", ")}`);
  }
  for (const { used, tests, ...rest } of exceptions.filter((each) => !each.used)) {
    totals.stale += 1;
    console.log(`stale exception, it covers nothing: ${JSON.stringify(rest)}`);
  }
  console.log(JSON.stringify(totals));
  process.exitCode = totals.findings ? 1 : 0;
}
