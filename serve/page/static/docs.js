// Shows the OpenAPI document of this endpoint.

import { ask, key } from "./endpoint.js";

const byId = (id) => document.getElementById(id);

function element(tag, { text = "", className = "", ...rest } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), { className, ...rest });
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

/** The document's own `$ref`s, which are all local. */
const resolve = (whole, part) =>
  part?.$ref ? part.$ref.split("/").slice(1).reduce((found, name) => found[name], whole) : part;

const code = (text) => element("pre", { tabIndex: 0 }, element("code", { text }));
const pretty = (value) => JSON.stringify(value, null, 2).replace(/\[\s+(-?[\d.eE+-]+(?:,\s+-?[\d.eE+-]+)*)\s+\]/g, (list) => list.replace(/\s+/g, " ").replace("[ ", "[").replace(" ]", "]"));

function body(whole, { content }) {
  const parts = [element("h4", { text: "Body" })];
  for (const [type, { schema, examples }] of Object.entries(content)) {
    const item = element("div", { className: "media" }, element("code", { text: type }));
    if (schema.description) item.append(element("span", { className: "quiet", text: ` ${schema.description}` }));
    for (const [name, { value }] of Object.entries(examples ?? {})) item.append(element("p", { className: "quiet", text: `Example: ${name}` }), code(pretty(value)));
    if (type === "application/json") item.append(element("details", {}, element("summary", { text: "Schema" }), code(pretty(schema))));
    parts.push(item);
  }
  return parts;
}

function answers(whole, responses) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const found = resolve(whole, response);
    return element("tr", {}, element("th", { scope: "row", text: status }), element("td", { text: found.description }));
  });
  const schema = resolve(whole, responses["200"])?.content?.["application/json"]?.schema;
  const table = element("table", {}, element("caption", { className: "unseen", text: "Answers" }), element("tbody", {}, ...rows));
  return [
    element("h4", { text: "Answers" }),
    table,
    ...(schema ? [element("details", {}, element("summary", { text: "Schema of the answer" }), code(pretty(schema)))] : []),
  ];
}

function command(method, path, operation) {
  const address = new URL(path.slice(1), new URL(".", location.href)).href;
  const authorization = key.get() ? " -H \"Authorization: Bearer $LIFECYCLE_API_KEY\"" : "";
  if (method !== "post") return `curl '${address}'${authorization}`;
  const parameters = (operation.parameters ?? []).filter(({ required }) => required);
  const query = parameters.map(({ name, schema }) => `?${name}=${encodeURIComponent(schema.enum[0])}`).join("");
  return `curl '${address}${query}'${authorization} -H 'Content-Type: application/json' -d @body.json`;
}

function show(whole, method, path, operation) {
  const summary = element(
    "summary",
    {},
    element("span", { className: `method ${method}`, text: method.toUpperCase() }),
    element("code", { text: path }),
    element("span", { className: "quiet", text: operation.summary }),
  );
  const details = element("details", { className: "card operation", id: operation.operationId }, summary);
  const parts = element("div", { className: "parts" });
  if (operation.description) parts.append(element("p", { text: operation.description }));
  for (const { name, in: place, description, required, schema } of operation.parameters ?? [])
    parts.append(element("p", {}, element("code", { text: name }), ` in ${place}${required ? ", required" : ""}: ${description}${schema.enum ? `; ${schema.enum.join(", ")}` : ""}`));
  if (operation.requestBody) parts.append(...body(whole, operation.requestBody));
  parts.append(...answers(whole, operation.responses), element("h4", { text: "From a shell" }), code(command(method, path, operation)));
  details.append(parts);
  return details;
}

async function load() {
  let whole;
  try {
    whole = (await ask("docs.json")).content;
  } catch (problem) {
    byId("wait").textContent = problem.wantsKey ? "" : problem.message;
    byId("key").hidden = !problem.wantsKey;
    byId("key-problem").textContent = problem.message;
    byId("key-problem").hidden = !key.get();
    if (problem.wantsKey) byId("key-text").focus();
    return;
  }
  byId("key").hidden = byId("wait").hidden = true;
  byId("description").textContent = whole.info.description;
  byId("operations").replaceChildren(
    ...whole.tags.flatMap(({ name, description }) => {
      const found = Object.entries(whole.paths).flatMap(([path, methods]) =>
        Object.entries(methods)
          .filter(([, operation]) => operation.tags.includes(name))
          .map(([method, operation]) => show(whole, method, path, operation)),
      );
      return found.length ? [element("h2", { text: description }), ...found] : [];
    }),
  );
  byId("operations").querySelector("details")?.setAttribute("open", "");
}

byId("key").onsubmit = (event) => {
  event.preventDefault();
  key.set(byId("key-text").value.trim());
  load();
};
load();
