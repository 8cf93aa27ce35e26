"use strict";

// What everything else is made of. Data becomes text or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

// Only what changed is touched: a screen reader's place, a selection and a focus stay.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function mark(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

function hidden(text) {
  return element("span", { class: "sr" }, text);
}

function button(label, about, press, kind = "") {
  const made = element("button", { type: "button", class: kind }, label, hidden(" " + about));
  made.addEventListener("click", press);
  return made;
}

// Politely, and only what matters: changes of state and what became of a button. Clocks are silent.
function announce(words) {
  const live = byId("announce");
  live.textContent = "";
  announce.waiting.push(words);
  clearTimeout(announce.timer);
  // What happens at once is said in one go: a second text in the place of the first would be all that is heard.
  announce.timer = setTimeout(() => { live.textContent = announce.waiting.splice(0).join(" "); }, 60);
}
announce.waiting = [];

function copyButton(text, about) {
  const made = element("button", { type: "button" }, "Copy", hidden(" " + about));
  const label = made.firstChild;
  made.addEventListener("click", async () => {
    const done = await copied(text());
    label.data = done ? "Copied" : "Press Ctrl+C";
    announce(done ? about + " copied" : "could not copy; select the text instead");
    setTimeout(() => { label.data = "Copy"; }, 1600);
  });
  return made;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// A line of text that is there to be copied.
function copyLine(about) {
  const code = element("code");
  const line = element("div", { class: "copy-line" }, code, copyButton(() => code.textContent, about));
  return { line, code };
}

// An address that somebody else chose opens only as what it should be.
function link(url, label) {
  let safe = false;
  try {
    safe = ["https:", "http:"].includes(new URL(url).protocol);
  } catch {
    safe = false;
  }
  if (!safe) return element("code", {}, url);
  return element("a", { class: "button primary", href: url, target: "_blank", rel: "noopener noreferrer" },
    label, hidden(" (opens in a new tab)"));
}

// A list of cards by name: made once, changed in place, taken away when gone.
function keyed(list, cards, items, make) {
  const names = new Set(items.map((item) => item.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.node.remove();
      cards.delete(name);
    }
  }
  items.forEach((item, at) => {
    if (!cards.has(item.name)) cards.set(item.name, make(item));
    const { node } = cards.get(item.name);
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  });
}

function post(path, form) {
  const body = new URLSearchParams({ form_token: page.formToken, ...form });
  return fetch(path, { method: "POST", body, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(15000) });
}

// What a person is told of it, and whether it was done.
async function act(path, form = {}) {
  try {
    const answer = await post(path, form);
    const said = await answer.json();
    return { done: answer.ok, words: said.detail };
  } catch {
    return { done: false, words: "bearward did not answer" };
  }
}
