"use strict";
// Attention views, translations side by side, and saving of figures. The plots are in the page already.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

// An element with attributes, text or children; of SVG where `svg` made it.
function make(create, name, attributes = {}, ...children) {
  const element = create(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
const html = (...rest) => make((name) => document.createElement(name), ...rest);
const svg = (...rest) => make((name) => document.createElementNS("http://www.w3.org/2000/svg", name), ...rest);
const key = (system) => document.querySelectorAll(".systems .key")[system].cloneNode(true);
const choices = (select, labels, chosen = 0) => select.replaceChildren(
  ...labels.map((label, i) => html("option", { value: i, selected: i === chosen }, label)));

// --- Tooltip ---------------------------------------------------------------------------------------

function showTooltip(event, text) {
  const tip = $("tooltip");
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const x = Math.min(event.clientX + 14, innerWidth - box.width - 6);
  const y = event.clientY + 20 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${y}px`;
}
const hideTooltip = () => { $("tooltip").hidden = true; };
addEventListener("scroll", hideTooltip, { passive: true });

// --- Saving a figure as SVG ------------------------------------------------------------------------

const SAVED = ["fill", "stroke", "stroke-width", "stroke-linejoin", "opacity", "fill-opacity", "stroke-opacity",
  "font-family", "font-size", "font-weight"];

// The figure on its own: in the light theme, with the style that the page gives it written into it.
function standalone(figure) {
  const root = document.documentElement;
  const theme = root.dataset.theme;
  root.dataset.theme = "light";
  const copy = figure.cloneNode(true);
  const from = [figure, ...figure.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    to[i].setAttribute("style", SAVED.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  if (theme === undefined) delete root.dataset.theme;
  else root.dataset.theme = theme;
  const box = figure.viewBox.baseVal;
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  return new XMLSerializer().serializeToString(copy);
}

function saveButton(find, name) {
  return html("button", {
    type: "button", class: "save", title: "Download as SVG",
    onclick: () => {
      const url = URL.createObjectURL(new Blob([standalone(find())], { type: "image/svg+xml" }));
      html("a", { href: url, download: `${name()}.svg` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    },
  }, "SVG ↓");
}

for (const figure of document.querySelectorAll("figure"))
  figure.append(saveButton(() => figure.querySelector("svg"), () => figure.dataset.name));

// --- Attention -------------------------------------------------------------------------------------

const KINDS = {
  cross: { title: "target to source", rows: (s) => shown(s.target), columns: (s) => shown(s.source) },
  encoder: { title: "source to source", rows: (s) => shown(s.source), columns: (s) => shown(s.source) },
  decoder: { title: "target to what was before", rows: read, columns: read },
};
// What a decoder has read when it writes each of its pieces.
function read(sentence) { return ["<s>", ...shown(sentence.target).slice(0, -1)]; }
// Pieces as people read them: most begin a word, so those that do not are marked.
function shown(pieces) {
  return pieces.map((piece) => piece.startsWith("▁") ? piece.slice(1) || "␣" : piece === "</s>" ? piece : `·${piece}`);
}

function meanHead(heads) {
  return heads[0].map((row, i) => row.map((_, j) => heads.reduce((sum, head) => sum + head[i][j], 0) / heads.length));
}
const percent = (weight) => `${(weight / 10).toFixed(1)}%`;
const textWidth = (words) => {
  const context = textWidth.context ??= document.createElement("canvas").getContext("2d");
  context.font = `700 12px ${getComputedStyle(document.body).fontFamily}`;
  return Math.max(...words.map((word) => context.measureText(word).width));
};

// Rows are what attends, columns what is attended to (Bahdanau et al. 2015, figure 3).
function drawMatrix(rows, columns, weights) {
  const cell = 18, slant = 0.72, left = textWidth(rows) + 10, wide = textWidth(columns);
  const top = wide * slant + 14, width = left + cell * columns.length + wide * slant + 4;
  const height = top + cell * rows.length + 4;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "attention weights" });
  const heads = columns.map((word, j) => svg("text", {
    transform: `translate(${left + cell * j + cell / 2 + 2} ${top - 6}) rotate(-46)`,
  }, word));
  const sides = rows.map((word, i) => svg("text", { x: left - 6, y: top + cell * i + 13, "text-anchor": "end" }, word));
  const cells = svg("g");
  rows.forEach((_, i) => columns.forEach((_, j) => {
    if (weights[i][j] > 0)
      cells.append(svg("rect", { class: "cell", x: left + cell * j, y: top + cell * i, width: cell, height: cell, "fill-opacity": weights[i][j] / 1000 }));
  }));
  const frame = svg("rect", { class: "frame", x: left, y: top, width: cell * columns.length, height: cell * rows.length, "pointer-events": "all" });
  const ring = svg("rect", { class: "ring", width: cell, height: cell, visibility: "hidden" });
  const leave = () => {
    for (const word of [...heads, ...sides]) word.removeAttribute("class");
    ring.setAttribute("visibility", "hidden");
    hideTooltip();
  };
  frame.addEventListener("pointermove", (event) => {
    const box = frame.getBoundingClientRect();
    const j = Math.floor((event.clientX - box.left) / box.width * columns.length);
    const i = Math.floor((event.clientY - box.top) / box.height * rows.length);
    if (!(i in rows) || !(j in columns)) return;
    leave();
    heads[j].setAttribute("class", "at");
    sides[i].setAttribute("class", "at");
    ring.setAttribute("x", left + cell * j);
    ring.setAttribute("y", top + cell * i);
    ring.setAttribute("visibility", "visible");
    showTooltip(event, `${rows[i]} → ${columns[j]}: ${percent(weights[i][j])}`);
  });
  frame.addEventListener("pointerleave", leave);
  picture.append(cells, frame, ring, ...heads, ...sides);
  return picture;
}

// Two columns of words and lines as strong as the weights, as BertViz draws a head (Vig 2019).
function drawLines(rows, columns, weights) {
  const step = 20, gap = 120, left = textWidth(rows) + 12;
  const width = left + gap + textWidth(columns) + 64, height = step * Math.max(rows.length, columns.length) + 6;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "attention weights" });
  const y = (i) => step * i + 15;
  const links = [];
  rows.forEach((_, i) => columns.forEach((_, j) => {
    if (weights[i][j] < 10) return;
    const line = svg("line", { class: "link", x1: left, y1: y(i) - 4, x2: left + gap, y2: y(j) - 4, "stroke-opacity": weights[i][j] / 1000 });
    links.push({ i, j, line });
    picture.append(line);
  }));
  const words = (list, x, anchor, side) => list.map((word, n) => svg("text", {
    x, y: y(n), "text-anchor": anchor, tabindex: 0,
    onpointerenter: (event) => choose(event, side, n), onpointerleave: release,
  }, word));
  const froms = words(rows, left - 6, "end", "i"), tos = words(columns, left + gap + 6, "start", "j");
  const numbers = svg("g");
  function release() {
    for (const { line } of links) line.classList.remove("dim"), line.removeAttribute("visibility");
    for (const word of [...froms, ...tos]) word.removeAttribute("class");
    numbers.replaceChildren();
    hideTooltip();
  }
  function choose(event, side, n) {
    release();
    const mine = side === "i" ? froms : tos, others = side === "i" ? tos : froms;
    mine[n].setAttribute("class", "at");
    for (const { i, j, line } of links)
      if ((side === "i" ? i : j) !== n) line.setAttribute("visibility", "hidden");
    const strongest = others.map((_, o) => [side === "i" ? weights[n][o] : weights[o][n], o]).sort((a, b) => b[0] - a[0]);
    for (const [weight, o] of strongest) {
      if (weight < 10) continue;
      others[o].setAttribute("class", "at");
      if (side === "i") numbers.append(svg("text", { x: width - 2, y: y(o), "text-anchor": "end" }, percent(weight)));
    }
    const listing = strongest.slice(0, 3).filter(([weight]) => weight > 0).map(([weight, o]) => `${(side === "i" ? columns : rows)[o]} ${percent(weight)}`).join(", ");
    showTooltip(event, `${(side === "i" ? rows : columns)[n]} ${side === "i" ? "→" : "←"} ${listing}`);
  }
  picture.append(...froms, ...tos, numbers);
  return picture;
}

function drawThumbnail(canvas, weights) {
  canvas.width = weights[0].length;
  canvas.height = weights.length;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).getPropertyValue("color");
  weights.forEach((row, i) => row.forEach((weight, j) => {
    context.globalAlpha = weight / 1000;
    context.fillRect(j, i, 1, 1);
  }));
}

// One system's view of the chosen sentence, with its own choice of kind, layer and head.
class Panel {
  constructor(system, number) {
    this.system = system;
    this.kind = html("select", { "aria-label": "kind of attention", onchange: () => this.chooseKind() });
    this.layer = html("select", { "aria-label": "layer", onchange: () => this.draw() });
    this.head = html("select", { "aria-label": "head", onchange: () => this.draw() });
    this.picture = html("div", { class: "attention" });
    this.overview = html("div", { class: "overview" });
    this.body = html("div", { class: "body" });
    this.which = [html("label", {}, "Layer ", this.layer), html("label", {}, "Head ", this.head)];
    this.controls = html("div", { class: "controls" }, html("label", {}, "Attention ", this.kind), ...this.which);
    this.figure = html("figure", {}, this.picture,
      saveButton(() => this.picture.querySelector("svg"), () => `attention-${system.name}`));
    this.element = html("div", { class: "panel" }, html("h3", {}, key(number), system.name), this.controls, this.body);
    this.body.append(this.figure, this.overview);
    this.none = html("p", { class: "none" });
    this.element.append(this.none);
  }

  show(line) {
    this.sentence = this.system.attention.find((sentence) => sentence.line === line);
    const kinds = Object.keys(KINDS).filter((kind) => this.sentence?.views.some((view) => view.kind === kind));
    const has = kinds.length > 0;
    for (const part of [this.controls, this.body]) part.style.display = has ? "" : "none";
    this.none.hidden = has;
    if (!has) {
      this.none.textContent = this.sentence
        ? `Has no attention: all that it knows of the source is one vector. It writes: ${join(this.sentence.target)}`
        : "Nothing was recorded for this sentence.";
      return;
    }
    const chosen = Math.max(0, kinds.indexOf(this.kinds?.[this.kind.value]));
    this.kinds = kinds;
    choices(this.kind, kinds.map((kind) => KINDS[kind].title), chosen);
    this.chooseKind(this.layer.value, this.head.value);
  }

  chooseKind(layer, head) {
    this.views = this.sentence.views.filter((view) => view.kind === this.kinds[this.kind.value]);
    const last = this.views.length - 1;
    choices(this.layer, this.views.map((view) => `${view.layer + 1}`), Number(layer || last));
    const heads = this.views[0].heads.length;
    choices(this.head, heads === 1 ? ["1"] : ["mean of all", ...Array.from({ length: heads }, (_, h) => `${h + 1}`)], Number(head || 0));
    this.drawOverview();
    this.draw();
  }

  choose(layer, head) {
    this.layer.value = layer;
    this.head.value = head + 1;
    this.draw();
  }

  draw() {
    const view = this.views[Number(this.layer.value)], kind = KINDS[this.kinds[this.kind.value]];
    const head = Number(this.head.value);
    const weights = view.heads.length === 1 ? view.heads[0] : head === 0 ? meanHead(view.heads) : view.heads[head - 1];
    const drawn = $("drawing").value === "lines" ? drawLines : drawMatrix;
    this.picture.replaceChildren(drawn(kind.rows(this.sentence), kind.columns(this.sentence), weights));
    for (const canvas of this.overview.querySelectorAll("canvas"))
      canvas.classList.toggle("chosen", canvas.dataset.layer === this.layer.value && Number(canvas.dataset.head) === head - 1);
    hideTooltip();
  }

  drawOverview() {
    const heads = this.views[0].heads.length;
    const single = heads === 1 && this.views.length === 1;
    for (const part of [...this.which, this.overview]) part.style.display = single ? "none" : "";
    this.overview.replaceChildren();
    if (single) return;
    this.overview.style.gridTemplateColumns = `max-content repeat(${heads}, minmax(16px, 64px))`;
    this.overview.append(html("span"), ...Array.from({ length: heads }, (_, h) => html("span", {}, h === 0 ? "head 1" : `${h + 1}`)));
    this.views.forEach((view, layer) => {
      this.overview.append(html("span", {}, `layer ${view.layer + 1}`));
      view.heads.forEach((weights, head) => {
        const canvas = html("canvas", {
          "data-layer": layer, "data-head": head, tabindex: 0, role: "button",
          "aria-label": `layer ${view.layer + 1}, head ${head + 1}`, title: `layer ${view.layer + 1}, head ${head + 1}`,
          onclick: () => this.choose(layer, head),
          onkeydown: (event) => { if (event.key === "Enter") this.choose(layer, head); },
        });
        this.overview.append(canvas);
        drawThumbnail(canvas, weights);
      });
    });
  }
}

const join = (pieces) => pieces.join("").replaceAll("</s>", "").replaceAll("▁", " ").trim();

function startAttention() {
  const lines = data.systems[0].attention.map((sentence) => sentence.line);
  if (lines.length === 0) {
    $("panels").append(html("p", {}, "No sentence was chosen."));
    return;
  }
  const panels = data.systems.map((system, number) => new Panel(system, number));
  $("panels").append(...panels.map((panel) => panel.element));
  const middle = Math.floor((lines.length - 1) / 2);  // neither the shortest nor the longest
  choices($("sentence"), lines.map((line) => `${line + 1}: ${data.tests[0].source[line]}`), middle);
  const show = () => panels.forEach((panel) => panel.show(lines[$("sentence").value]));
  $("sentence").addEventListener("change", show);
  $("drawing").addEventListener("change", show);
  $("theme").addEventListener("click", show);  // for the thumbnails, which are pixels
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

// --- Translations ----------------------------------------------------------------------------------

// Which words of two lists belong to a longest common subsequence: two lists of flags.
function common(a, b) {
  const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; --i)
    for (let j = b.length - 1; j >= 0; --j)
      length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
  const inA = a.map(() => false), inB = b.map(() => false);
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) inA[i++] = inB[j++] = true;
    else if (length[i + 1][j] >= length[i][j + 1]) ++i;
    else ++j;
  }
  return [inA, inB];
}
// Words, and punctuation apart from them.
const words = (text) => text.match(/[\p{L}\p{N}]+(?:['’.,\-][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]/gu) ?? [];

// `text` with each of its words for which `flags` says so inside an element `name`.
function marked(text, flags, name) {
  const parts = [];
  let place = 0;
  words(text).forEach((word, n) => {
    const at = text.indexOf(word, place);
    parts.push(text.slice(place, at), flags[n] ? html(name, {}, word) : word);
    place = at + word.length;
  });
  return [...parts, text.slice(place)];
}

function pairElement(test, line) {
  const reference = test.reference[line];
  const referenceText = html("div", { class: "text reference" }, reference);
  const row = (label, text, score = "") => [html("div", { class: "who" }, ...label), text, html("div", { class: "score" }, score)];
  const element = html("div", { class: "pair" },
    ...row([`${line + 1} source`], html("div", { class: "text source" }, test.source[line])),
    ...row(["reference"], referenceText));
  data.systems.forEach((system, s) => {
    const output = test.outputs[s][line];
    const [kept, found] = common(words(output), words(reference));
    const text = html("div", {
      class: "text",
      onpointerenter: () => referenceText.replaceChildren(...marked(reference, found.map((f) => !f), "del")),
      onpointerleave: () => referenceText.replaceChildren(reference),
    }, ...marked(output, kept.map((k) => !k), "ins"));
    element.append(...row([key(s), system.name], text, test.scores[s][line].toFixed(1)));
  });
  return element;
}

const ORDERS = {
  disagreement: (test, line) => { const of = test.scores.map((s) => s[line]); return Math.min(...of) - Math.max(...of); },
  worst: (test, line) => test.scores.reduce((sum, s) => sum + s[line], 0),
  length: (test, line) => -words(test.source[line]).length,
  line: (test, line) => line,
};

function startTranslations() {
  const PAGE = 20;
  let order = [], shown = 0;
  const more = () => {
    const test = data.tests[$("test").value];
    $("sentences").append(...order.slice(shown, shown + PAGE).map((line) => pairElement(test, line)));
    shown = Math.min(shown + PAGE, order.length);
    $("more").hidden = shown === order.length;
    $("more").textContent = `More (${shown} of ${order.length} shown)`;
  };
  const begin = () => {
    const test = data.tests[$("test").value], text = $("filter").value.toLowerCase();
    $("metric").textContent = test.metric;
    const holds = (line) => [test.source, test.reference, ...test.outputs].some((side) => side[line].toLowerCase().includes(text));
    const rank = test.source.map((_, line) => ORDERS[$("order").value](test, line));
    order = test.source.map((_, line) => line).filter((line) => text === "" || holds(line)).sort((a, b) => rank[a] - rank[b] || a - b);
    shown = 0;
    $("sentences").replaceChildren();
    more();
  };
  choices($("test"), data.tests.map((test) => test.name));
  for (const id of ["test", "order"]) $(id).addEventListener("change", begin);
  $("filter").addEventListener("input", begin);
  $("more").addEventListener("click", more);
  begin();
}

// --- Theme -----------------------------------------------------------------------------------------

$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

startAttention();
startTranslations();
