// What the model is: name, version, digest, what was measured on it, and its card.

import { fromMarkdown } from "./markdown.js";

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const BYTES = ["B", "kB", "MB", "GB"];

export function bytes(count) {
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), BYTES.length - 1);
  return `${number.format(count / 1000 ** power)} ${BYTES[power]}`;
}

/** A metric as people read it: what lies between 0 and 1 by name of a share is a percentage. */
export function metric(name, value) {
  const share = /acc|auroc|auc|precision|recall|f1|iou/i.test(name) && value >= 0 && value <= 1;
  return share ? `${(100 * value).toFixed(1)} %` : number.format(value);
}

export function tensor(spec) {
  const range = spec.range ? `, ${spec.range.map((end) => number.format(end)).join(" to ")}` : "";
  return `${spec.dtype} [${spec.shape.join(", ")}]${range}`;
}

/** What people ask first: name, value and note. */
function figures({ measured }) {
  const known = [];
  for (const [name, value] of Object.entries(measured.headline ?? {}))
    known.push([/acc/.test(name) ? "Accuracy" : name, metric(name, value), `${name}, held-out data`]);
  if (measured.latency_ms != null)
    known.push(["Latency", `${number.format(measured.latency_ms)} ms`, "one sample, one thread, as evaluated"]);
  if (measured.size_bytes != null) known.push(["Size", bytes(measured.size_bytes), "the ONNX file"]);
  if (measured.params != null) known.push(["Parameters", compact.format(measured.params), measured.macs == null ? "" : `${compact.format(measured.macs)} multiply-adds a sample`]);
  return known;
}

/** The rest of what is known. */
function details(model) {
  const { measured } = model;
  const known = [["Digest", model.digest, "SHA-256 of the files that are served"]];
  for (const spec of model.inputs) known.push([`Input ${spec.name}`, tensor(spec), ""]);
  for (const spec of model.outputs) known.push([`Output ${spec.name}`, tensor(spec), ""]);
  if (model.labels.length) known.push(["Classes", String(model.labels.length), model.labels.slice(0, 12).join(", ") + (model.labels.length > 12 ? ", …" : "")]);
  if (model.task) known.push(["Task", model.task, ""]);
  if (model.licence) known.push(["Licence", model.licence, ""]);
  if (measured.made) known.push(["Made", measured.made.slice(0, 10), measured.commit ? `commit ${measured.commit.slice(0, 10)}` : ""]);
  return known;
}

function entries(known) {
  return known.map(([name, value, note]) => {
    const entry = document.createElement("div");
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    if (note) {
      const small = document.createElement("small");
      small.textContent = note;
      description.append(small);
    }
    entry.append(term, description);
    return entry;
  });
}

export function showAbout(model) {
  document.title = `Try ${model.name}`;
  document.getElementById("name").textContent = model.name;
  const version = document.getElementById("version");
  version.textContent = `version ${model.version}`;
  version.hidden = model.digest.startsWith(model.version); // served from a folder: the digest says it
  const short = model.digest.slice(0, 12);
  const digest = document.getElementById("digest");
  digest.textContent = `digest ${short}`;
  digest.title = model.digest;
  digest.setAttribute("aria-label", `Copy the digest ${short}`);
  digest.onclick = async () => {
    await navigator.clipboard?.writeText(model.digest);
    document.getElementById("copied").textContent = "copied";
  };
  document.getElementById("copied").textContent = "";
  document.getElementById("facts").replaceChildren(...entries(figures(model)));
  document.getElementById("details").replaceChildren(...entries(details(model)));
  document.getElementById("card").hidden = !model.measured.card;
  document.getElementById("card-text").replaceChildren(...fromMarkdown(model.measured.card ?? ""));
}
