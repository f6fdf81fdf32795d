// The page: asks what is served, offers inputs that suit it, and shows the answers.

import { showAbout } from "./about.js";
import { clearAnswer, fromProtocol, showAnswer, showProblem } from "./answer.js";
import { ask, key } from "./endpoint.js";
import { Files } from "./files.js";
import { Sheet } from "./sheet.js";

const byId = (id) => document.getElementById(id);
const TABS = { draw: "Draw", file: "File", json: "JSON" };
let models = [];
let model = null;
let tab = "json";
let asked = 0;

const sheet = new Sheet({
  canvas: byId("canvas"),
  seen: byId("seen"),
  hint: byId("sheet-hint"),
  mark: byId("cursor"),
  changed: () => byId("live").checked && submit(),
  asked: () => submit(),
});
const files = new Files(() => submit());

// --- what is served ---

async function load() {
  try {
    await look();
  } catch (problem) {
    if (problem.wantsKey) return askForKey(problem);
    byId("wait").textContent = problem.message;
    return;
  }
  byId("key").hidden = true;
  byId("wait").hidden = true;
  byId("about").hidden = byId("work").hidden = byId("shell").hidden = false;
  byId("choice").hidden = models.length < 2;
  byId("name").classList.toggle("unseen", models.length > 1);
  byId("models").replaceChildren(...models.map(({ name }) => new Option(name, name)));
  const wanted = decodeURIComponent(location.hash.slice(1));
  choose(models.find(({ name }) => name === wanted) ?? models[0]);
}

async function look() {
  models = (await ask("page/models.json")).content.models;
}

/** Another version answered than the one that the page tells of: the server follows the registry. */
async function lookAgain(version) {
  const shown = model;
  if (version === shown.version) return;
  await look().catch(() => {});
  const now = models.find(({ name }) => name === shown.name);
  if (!now || model !== shown) return;
  model = now;
  showAbout(model);
}

function askForKey(problem) {
  byId("wait").hidden = true;
  byId("about").hidden = byId("work").hidden = byId("shell").hidden = true;
  byId("key").hidden = false;
  byId("key-problem").textContent = problem.message;
  byId("key-problem").hidden = !key.get();
  byId("key-text").focus();
}

function choose(chosen) {
  model = chosen;
  byId("models").value = model.name;
  if (models.length > 1) history.replaceState(null, "", `#${encodeURIComponent(model.name)}`);
  showAbout(model);
  const { image } = model;
  byId("tabs").replaceChildren(...tabsOf(model).map(makeTab));
  if (image) {
    sheet.fit(image.height, image.width);
    byId("ink-choice").hidden = image.channels === 1;
    byId("seen-text").textContent = `seen as ${image.width}×${image.height}`;
    restyle();
  }
  files.fit(image);
  byId("json-label").textContent = jsonLabel(model);
  byId("json").value = model.example;
  select(tabsOf(model)[0]);
}

function jsonLabel({ rows, inputs }) {
  if (!rows) return "A request of the Open Inference Protocol: one tensor to each input.";
  const [{ dtype, shape }] = inputs;
  return `Rows of shape [${shape.slice(1).join(", ")}], ${dtype}.`;
}

/** The best way first; JSON is none where an example would be longer than anybody reads. */
function tabsOf({ image, rows, example }) {
  const json = example || !rows ? ["json"] : [];
  if (image) return ["draw", "file", ...json];
  return rows ? [...json, "file"] : json;
}

// --- ways to give an input ---

function makeTab(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.id = `tab-${name}`;
  button.role = "tab";
  button.textContent = TABS[name];
  button.setAttribute("aria-controls", `panel-${name}`);
  button.onclick = () => select(name);
  button.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const names = tabsOf(model);
    select(names[(names.indexOf(name) + by + names.length) % names.length]);
    byId(`tab-${tab}`).focus();
  };
  return button;
}

function select(name) {
  tab = name;
  for (const each of Object.keys(TABS)) {
    const button = byId(`tab-${each}`);
    button?.setAttribute("aria-selected", String(each === name));
    if (button) button.tabIndex = each === name ? 0 : -1;
    byId(`panel-${each}`).hidden = each !== name;
  }
  byId("live-choice").hidden = name !== "draw";
  forget();
  showCommand();
}

function restyle() {
  const light = byId("light").checked;
  const grey = light ? "#000" : "#fff";
  sheet.paint({
    ink: model.image.channels === 1 ? grey : byId("ink").value,
    paper: light ? "#fff" : "#000",
    width: Number(byId("pen").value),
  });
}

async function request() {
  if (tab === "draw") return { body: await sheet.file(), headers: { "Content-Type": "image/png" } };
  if (tab === "file") {
    if (!files.chosen.length) throw new Error("Choose a file first.");
    return files.request();
  }
  try {
    JSON.parse(byId("json").value);
  } catch (problem) {
    throw new Error(`This is not JSON: ${problem.message}`);
  }
  return { body: byId("json").value, headers: { "Content-Type": "application/json" } };
}

const pathOf = (which) =>
  which.rows ? `predict?model=${encodeURIComponent(which.name)}` : `v2/models/${encodeURIComponent(which.name)}/infer`;

// --- asking ---

/** While one waits, what stands there answers something else: it is dimmed, and screen readers hold it back. */
function wait(waiting) {
  for (const id of ["ask", "answer"]) byId(id).setAttribute("aria-busy", String(waiting));
}

/** What is under way is an answer to something that is no longer shown. */
function forget() {
  asked += 1;
  wait(false);
  clearAnswer();
}

async function submit() {
  const number = ++asked;
  const latest = () => number === asked;
  wait(true);
  try {
    const options = await request();
    const { content, elapsed } = await ask(pathOf(model), { method: "POST", ...options });
    if (!latest()) return;
    const names = tab === "file" && files.chosen.length > 1 ? files.chosen.map(({ name }) => name) : [];
    const answered = { name: content.model_name, version: content.model_version, latency_ms: content.latency_ms };
    showAnswer(content.predictions ?? fromProtocol(content), { elapsed, model: answered, names });
    await lookAgain(content.model_version);
  } catch (problem) {
    if (!latest()) return;
    if (problem.wantsKey) return askForKey(problem);
    showProblem(problem);
  } finally {
    if (latest()) wait(false);
  }
}

function showCommand() {
  const address = new URL(pathOf(model), location.href).href;
  const what =
    tab === "json" ? "-H 'Content-Type: application/json' -d @rows.json" : model.image ? "-H 'Content-Type: image/png' --data-binary @image.png" : "-H 'Content-Type: application/x-npy' --data-binary @rows.npy";
  const authorization = key.get() ? " -H \"Authorization: Bearer $LIFECYCLE_API_KEY\"" : "";
  byId("command").textContent = `curl '${address}'${authorization} \\\n  ${what}`;
}

byId("ask").onclick = submit;
byId("clear").onclick = () => {
  sheet.clear();
  forget();
};
byId("example").onclick = () => (byId("json").value = model.example);
byId("json").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
});
byId("models").onchange = (event) => choose(models.find(({ name }) => name === event.target.value));
for (const id of ["light", "ink", "pen"]) byId(id).addEventListener("input", restyle);
byId("key").onsubmit = (event) => {
  event.preventDefault();
  key.set(byId("key-text").value.trim());
  load();
};
load();
