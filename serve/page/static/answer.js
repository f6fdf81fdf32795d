// What came back: labels with bars, or every output by name, and the time taken.

const MOST_BARS = 12;
const MOST_ROWS = 20;
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const brief = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const byId = (id) => document.getElementById(id);

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** A list of bars; shares run from 0 to 1. */
function bars(entries, best) {
  const longest = Math.max(...entries.map(([name]) => name.length));
  const list = element("ul", longest > 4 ? "bars named" : "bars");
  for (const [name, share, value] of entries) {
    const item = element("li", name === best ? "best" : "");
    const track = element("div", "track");
    const fill = element("div", "fill");
    fill.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
    track.append(fill);
    item.append(element("span", "name", name), track, element("span", "value", value));
    list.append(item);
  }
  return list;
}

const percent = (value) => (value === null ? "not finite" : `${(100 * value).toFixed(1)} %`);

function labelled(prediction) {
  const whole = element("div", "prediction");
  const verdict = element("p", "verdict");
  verdict.append(element("strong", "", prediction.label ?? "?"), element("span", "quiet", percent(prediction.probability)));
  whole.append(verdict);
  let entries = Object.entries(prediction.probabilities);
  const count = entries.length;
  if (count > MOST_BARS) entries = entries.sort(([, a], [, b]) => b - a).slice(0, MOST_BARS);
  whole.append(bars(entries.map(([name, value]) => [name, value ?? 0, percent(value)]), prediction.label));
  if (count > MOST_BARS) whole.append(element("p", "quiet", `and ${count - MOST_BARS} classes that are less likely`));
  return whole;
}

const isVector = (value) => Array.isArray(value) && value.every((item) => item === null || typeof item !== "object");

function named(outputs) {
  const whole = element("div", "prediction");
  for (const [name, value] of Object.entries(outputs)) {
    whole.append(element("h3", "quiet", name));
    const values = isVector(value) ? value : typeof value === "number" ? [value] : null;
    if (values && values.length && values.length <= 64 && values.every((item) => typeof item !== "string")) {
      const top = Math.max(...values.map((item) => Math.abs(item ?? 0))) || 1;
      const entries = values.map((item, at) => [
        values.length === 1 ? name : String(at),
        Math.abs(item ?? 0) / top,
        item === null ? "not finite" : number.format(item),
      ]);
      whole.append(bars(entries, ""));
    } else {
      const text = element("pre", "", JSON.stringify(value));
      text.tabIndex = 0;
      whole.append(text);
    }
  }
  return whole;
}

/** Outputs of the protocol, nested as their shapes say: an object to each row, or one where they share no first axis. */
export function fromProtocol(content) {
  const nested = (data, shape) => {
    if (shape.length < 2) return shape.length ? data : data[0];
    const step = data.length / shape[0];
    return Array.from({ length: shape[0] }, (_, at) => nested(data.slice(at * step, (at + 1) * step), shape.slice(1)));
  };
  const whole = content.outputs.map(({ name, data, shape }) => [name, nested(data, shape)]);
  const counts = new Set(content.outputs.map(({ shape }) => shape[0]));
  if (counts.size !== 1 || counts.has(undefined)) return [Object.fromEntries(whole)];
  return Array.from({ length: [...counts][0] }, (_, at) => Object.fromEntries(whole.map(([name, rows]) => [name, rows[at]])));
}

export function showAnswer(predictions, { elapsed, model, names }) {
  byId("empty").hidden = true;
  byId("problem").hidden = true;
  byId("answer").replaceChildren(
    ...predictions.slice(0, MOST_ROWS).map((prediction, at) => {
      const whole = "probabilities" in prediction && "label" in prediction ? labelled(prediction) : named(prediction);
      if (predictions.length > 1) whole.prepend(element("p", "quiet", names[at] ?? `row ${at}`));
      return whole;
    }),
  );
  if (predictions.length > MOST_ROWS)
    byId("answer").append(element("p", "quiet", `and ${predictions.length - MOST_ROWS} rows more`));
  const inside = model.latency_ms === undefined ? "" : `, ${brief.format(model.latency_ms)} ms of it at the endpoint`;
  byId("time").textContent = `${brief.format(elapsed)} ms${inside} · ${model.name} version ${model.version}`;
}

export function showProblem(problem) {
  byId("empty").hidden = true;
  byId("answer").replaceChildren();
  byId("time").textContent = problem.requestId ? `request ${problem.requestId}` : "";
  byId("problem").textContent = problem.message;
  byId("problem").hidden = false;
}

export function clearAnswer() {
  byId("answer").replaceChildren();
  byId("time").textContent = "";
  byId("problem").hidden = true;
  byId("empty").hidden = false;
}
