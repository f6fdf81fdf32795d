// The Markdown of a model card as elements: headings, paragraphs, lists, tables, code. Text stays text.

const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^\s*[-*]\s+(.*)$/;
const RULE = /^\|?[\s:|-]+\|[\s:|-]*$/;

/** Text with `code` and **strong** in it; a backslash takes the meaning from what follows. */
function inline(parent, text) {
  for (const part of text.split(/(\\[^\s\w]|`[^`]+`|\*\*[^*]+\*\*)/)) {
    const tag = /^`.+`$/.test(part) ? "code" : /^\*\*.+\*\*$/.test(part) ? "strong" : null;
    if (tag) {
      const made = document.createElement(tag);
      const marks = tag === "code" ? 1 : 2;
      made.textContent = part.slice(marks, -marks);
      parent.append(made);
    } else parent.append(/^\\[^\s\w]$/.test(part) ? part.slice(1) : part);
  }
  return parent;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());

function table(lines) {
  const made = document.createElement("table");
  for (const [at, line] of lines.filter((each) => !RULE.test(each)).entries()) {
    const row = made.insertRow();
    for (const cell of cells(line)) row.append(inline(document.createElement(at ? "td" : "th"), cell));
  }
  const around = document.createElement("div");
  around.className = "wide";
  around.append(made);
  return around;
}

/** Elements for a whole text; its headings begin at the third level. */
export function fromMarkdown(text) {
  return text
    .split(/\n\s*\n|\n(?=#)|(?<=^#.*)\n/m)
    .map((block) => block.trim())
    .filter(Boolean)
    .map((block) => {
      const lines = block.split("\n");
      const heading = HEADING.exec(block);
      if (heading) return inline(document.createElement(`h${Math.min(heading[1].length + 2, 6)}`), heading[2]);
      if (lines.every((line) => line.trim().startsWith("|"))) return table(lines);
      if (lines.every((line) => ITEM.test(line))) {
        const list = document.createElement("ul");
        list.append(...lines.map((line) => inline(document.createElement("li"), ITEM.exec(line)[1])));
        return list;
      }
      return inline(document.createElement("p"), lines.join(" "));
    });
}
