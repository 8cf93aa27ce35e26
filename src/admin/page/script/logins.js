
// A login under way, step by step. Nothing is opened without a click.

function over(login) {
  return login.stage === "done" || login.stage === "failed";
}

class LoginPanel {
  constructor(name) {
    this.name = name;
    this.node = element("div", { class: "login", role: "group", "aria-label": "Login for " + name, tabindex: "-1", hidden: true });
    this.key = "null";
    this.clock = null;
  }

  update(login, card, focused) {
    const key = JSON.stringify(login);
    if (key === this.key) return;
    const held = this.node.contains(focused) || focused === card.loginButton;
    this.key = key;
    this.clock = null;
    this.node.hidden = login === null;
    this.node.replaceChildren(...(login === null ? [] : this.drawn(login, card)));
    if (!held) return;
    // A step with nothing to press holds the focus itself, so that the next one has it too.
    if (login === null) card.loginButton.focus();
    else (this.node.querySelector("[autofocus]") ?? this.node.querySelector("a, button, input") ?? this.node).focus();
  }

  tick(now) {
    if (this.clock) say(this.clock.node, now < this.clock.at ? "The code is good for " + span(this.clock.at - now) : "The code has run out");
  }

  drawn(login, card) {
    const cancel = (label) => button(label, "login for " + this.name, () => card.act("login/cancel"), "quiet-button");
    switch (login.stage) {
      case "beginning":
        return [element("p", {}, "Asking the authorization server…"), element("div", { class: "row" }, cancel("Cancel"))];
      case "browser":
        return [
          element("p", {}, "Log in on the authorization server's own page. The browser comes back by itself."),
          element("div", { class: "row" }, link(login.url, "Open the login page")),
          element("div", { class: "pasted" }, ...this.field(login, card, "The browser could not come back? Paste the address it ended on.")),
          element("div", { class: "row" }, cancel("Cancel")),
        ];
      case "paste":
        return [this.pasting(login, card), element("div", { class: "row" }, cancel("Cancel"))];
      case "redeeming":
        return [element("p", {}, "Redeeming the code…")];
      case "device":
        return [this.device(login), element("div", { class: "row" }, cancel("Cancel"))];
      case "done":
        return [
          element("p", {}, "Logged in. " + (login.lasting
            ? "bearward refreshes from here on; nobody has to log in again."
            : "No refresh token came: somebody has to log in again when this token expires.")),
          element("div", { class: "row" }, cancel("Dismiss")),
        ];
      default:
        return [
          element("p", {}, element("strong", {}, "The login came to nothing: "), login.detail ?? ""),
          element("p", { class: "muted" }, "What was there before is untouched."),
          element("div", { class: "row" }, cancel("Dismiss")),
        ];
    }
  }

  pasting(login, card) {
    return element("ol", {},
      element("li", {}, element("span", {}, "Log in on the authorization server's page. It shows a code at the end."), link(login.url, "Open the login page")),
      element("li", {}, ...this.field(login, card, "Paste the code here at once: it lives for a minute or so.")));
  }

  // Where a code is pasted, or the address that holds it, and why the last one was not taken.
  field(login, card, words) {
    const input = element("input", { type: "text", id: "code-" + encodeURIComponent(this.name), name: "code", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true });
    const form = element("form", {}, element("div", { class: "paste-line" }, input, element("button", { type: "submit" }, "Hand in")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const code = input.value.trim();
      input.value = "";
      if (code) await card.act("login/code", { code });
    });
    const refused = login.refused === null ? null : element("p", { class: "refused", id: input.id + "-refused" }, "Not taken: " + login.refused);
    if (refused) {
      input.setAttribute("aria-describedby", refused.id);
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("autofocus", "");
    }
    return [element("label", { for: input.id }, words), refused, form];
  }

  device(login) {
    const clock = element("p", { class: "muted clock" });
    this.clock = { node: clock, at: login.expires_at };
    return element("ol", {},
      element("li", {}, element("span", {}, "Open this page, on any device:"), link(login.complete_url ?? login.url, "Open " + login.url)),
      element("li", {}, element("span", {}, "See that it shows this code, or enter it:"),
        element("div", { class: "row" }, element("span", { class: "user-code" }, login.user_code), copyButton(() => login.user_code, "code")), clock));
  }
}
