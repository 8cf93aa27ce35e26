
// One card per token: its state in word, shape and colour, a ring that runs down, and what to do.

const STATES = {
  valid: { kind: "good", word: "Valid", draw: ["M3.5 8.5l3 3 6-7"] },
  acquiring: { kind: "info", word: "Acquiring", draw: ["M8 2a6 6 0 1 1-5.6 3.8"], spin: true },
  expired: { kind: "warn", word: "Expired", draw: ["M4.5 2h7M4.5 14h7M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12"] },
  login_required: { kind: "warn", word: "Login required", draw: ["M8 8a2.7 2.7 0 1 0 0-5.400A2.7 2.7 0 0 0 8 8z", "M2.8 14c.6-2.6 2.6-4 5.2-4s4.6 1.4 5.2 4"] },
  failed: { kind: "bad", word: "Failed", draw: ["M4 4l8 8M12 4l-8 8"] },
};
const UNKNOWN = { kind: "info", word: "Unknown", draw: [] };
const ROUND = 2 * Math.PI * 40;

function stateOf(token) {
  return STATES[token.state] ?? UNKNOWN;
}

function icon(state) {
  const paths = state.draw.map((d) => drawn("path", { d }));
  return drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false", class: state.spin ? "spin" : null }, ...paths);
}

class TokenCard {
  constructor(token) {
    const id = "token-" + encodeURIComponent(token.name);
    this.name = token.name;
    this.state = element("span", { class: "state" });
    this.facts = element("dl", { class: "facts" });
    this.refresh = this.fact("Refresh");
    this.expiry = this.fact("Expires");
    this.generation = this.fact("Generation");
    this.subjects = this.fact("Subjects");
    this.scope = this.fact("Scope");
    this.ring = new Ring();
    this.trouble = element("p", { class: "trouble", hidden: true });
    this.advice = element("p", { class: "advice", hidden: true });
    this.note = element("p", { class: "note", hidden: true });
    this.refreshButton = button("Refresh now", token.name, () => this.act("refresh"));
    this.loginButton = button("Log in", token.name, () => this.act("login"), "primary");
    this.buttons = element("div", { class: "row" }, this.loginButton, this.refreshButton);
    this.login = new LoginPanel(token.name);
    this.node = element("li", { class: "card", "aria-labelledby": id },
      element("div", { class: "card-head" }, element("h3", { id }, token.name), this.state),
      element("div", { class: "clockwork" }, this.ring.node, this.facts),
      this.trouble, this.advice, this.login.node, this.note, this.buttons);
  }

  fact(name) {
    const value = element("dd");
    const term = element("dt", {}, name);
    this.facts.append(term, value);
    return { term, value, shown: null };
  }

  async act(what, form = {}) {
    const { done, words } = await act(`/tokens/${encodeURIComponent(this.name)}/${what}`, form);
    this.tell(words);
    return done;
  }

  tell(words) {
    say(this.note, words.charAt(0).toUpperCase() + words.slice(1) + ".");
    this.note.hidden = false;
    announce(this.note.textContent);
    clearTimeout(this.forget);
    this.forget = setTimeout(() => { this.note.hidden = true; }, 8000);
  }

  update(token, actions) {
    // Before anything is hidden or replaced: what holds the focus then loses it.
    const focused = document.activeElement;
    const state = stateOf(token);
    const kind = token.last_error !== null && state.kind !== "bad" ? "warn" : state.kind;
    mark(this.node, "data-kind", kind);
    if (this.token?.state !== token.state) {
      this.state.replaceChildren(icon(state), state.word);
      mark(this.node, "data-state", token.state);
      if (this.token) announce(`${token.name} is now: ${state.word}`);
    }
    this.token = token;
    this.fill(this.generation, token.subjects === null ? String(token.generation) : null);
    this.fill(this.subjects, token.subjects === null ? null : `${token.subjects} held, a token for each`);
    this.fillScope(token.scope);
    this.trouble.hidden = !token.last_error;
    const words = token.last_error ?? "";
    if (this.trouble.dataset.words !== words) {
      this.trouble.dataset.words = words;
      this.trouble.replaceChildren(element("span", { class: "label" }, "Last error: "), element("span", { class: "words" }, words));
    }
    const advice = advised(token, actions);
    this.advice.hidden = !advice;
    say(this.advice, advice);
    this.showButtons(token, actions);
    this.login.update(token.login, this, focused);
    this.tick();
  }

  fill(fact, text) {
    fact.term.hidden = fact.value.hidden = text === null;
    if (text !== null) say(fact.value, text);
  }

  fillScope(scope) {
    this.scope.term.hidden = this.scope.value.hidden = !scope;
    if (this.scope.shown === scope) return;
    this.scope.shown = scope;
    const words = (scope ?? "").split(" ").filter((word) => word);
    this.scope.value.replaceChildren(element("ul", { class: "scopes" }, ...words.map((word) => element("li", {}, word))));
  }

  showButtons(token, actions) {
    const needed = token.state === "login_required";
    this.refreshButton.hidden = token.subjects !== null || needed;
    this.loginButton.hidden = !token.person || (token.login !== null && !over(token.login));
    say(this.loginButton.firstChild, needed || !token.generation ? "Log in" : "Log in again");
    mark(this.loginButton, "class", needed ? "primary" : "");
    this.buttons.hidden = !actions || (this.refreshButton.hidden && this.loginButton.hidden);
  }

  // Called with every second that bearward lives.
  tick() {
    const [token, now] = [this.token, page.now()];
    this.ring.show(token, now);
    this.timeFact(this.refresh, token.refresh_at, now, token.next_try !== null ? "Next try" : "Refresh", "due now");
    const over = token.expires_at !== null && token.expires_at <= now;
    this.timeFact(this.expiry, token.expires_at, now, over ? "Expired" : "Expires", over ? span(now - token.expires_at) + " ago" : "");
    this.login.tick(now);
  }

  timeFact(fact, at, now, name, past) {
    fact.term.hidden = fact.value.hidden = at === null;
    if (at === null) return;
    say(fact.term, name);
    if (!fact.shown) {
      fact.shown = { left: element("span", { class: "clock" }), at: element("time", { class: "at" }) };
      fact.value.append(fact.shown.left, " ", fact.shown.at);
    }
    say(fact.shown.left, at > now ? "in " + span(at - now) : past);
    timeOf(fact.shown.at, at);
  }
}

class Ring {
  constructor() {
    this.left = drawn("circle", { class: "left", cx: 50, cy: 50, r: 40, transform: "rotate(-90 50 50)" });
    this.due = drawn("line", { class: "mark-refresh", x1: 50, y1: 4, x2: 50, y2: 16 });
    this.text = drawn("text", { x: 50, y: 55, "font-size": 18 });
    this.below = drawn("text", { class: "below", x: 50, y: 69, "font-size": 10 });
    // The facts beside it say the same in words.
    this.node = drawn("svg", { class: "ring", viewBox: "0 0 100 100", "aria-hidden": "true", focusable: "false" },
      drawn("circle", { cx: 50, cy: 50, r: 40 }), this.left, this.due, this.text, this.below);
  }

  show(token, now) {
    const { expires_at: end, obtained_at: begun, refresh_at: due } = token;
    const whole = end !== null && begun !== null ? Math.max(1, end - begun) : null;
    const share = whole === null ? 0 : Math.min(1, Math.max(0, (end - now) / whole));
    mark(this.left, "stroke-dasharray", `${(share * ROUND).toFixed(2)} ${ROUND.toFixed(2)}`);
    mark(this.left, "visibility", share > 0 ? "visible" : "hidden");
    mark(this.left, "data-late", due !== null && due <= now);
    const mayShow = whole !== null && due !== null && due > begun && due < end;
    mark(this.due, "visibility", mayShow ? "visible" : "hidden");
    if (mayShow) mark(this.due, "transform", `rotate(${(360 * (end - due) / whole).toFixed(1)} 50 50)`);
    const words = end === null ? "–" : span(end - now).replace(/(\d) /g, "$1");
    say(this.text, words);
    mark(this.text, "font-size", words.length > 5 ? 15 : 18);
    say(this.below, end !== null ? "left" : token.state === "valid" ? "no expiry" : "no token");
  }
}

function advised(token, actions) {
  switch (token.state) {
    case "login_required":
      // The error says the command.
      if (token.login !== null && !over(token.login)) return "";
      return actions && token.person ? "Press “Log in”. Requests are answered 503 until somebody did." : "Requests are answered 503 until somebody did.";
    case "failed":
      return "The authorization server refuses what is configured. Correct the client's id, secret or scope; bearward sees the change by itself.";
    case "expired":
      return "The old token ran out while no new one came. Requests are answered 503 until one does; bearward goes on trying.";
    case "acquiring":
      if (token.last_error) return "Requests wait, or are answered 503, until the authorization server grants a token; bearward goes on trying.";
      return token.eager ? "" : "It is got when the first request wants it.";
    default:
      return token.last_error ? "The token that is held serves on; bearward goes on trying to get the next one." : "";
  }
}
