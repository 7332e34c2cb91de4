"use strict";
// The pages behind the links that Seaway prints and mails: set-up, verification, reset, invitation. Opening one changes
// nothing; the button does. The token stands behind the `#`, so it is in no log and no Referer.
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
const password = { name: "password", label: "Password (at least 15 characters)", type: "password", autocomplete: "new-password" };
const pages = {
  "/setup": {
    title: "Set up this instance", button: "Create the first account", path: "/setup",
    intro: "This link makes the account that operates the instance. It works once.",
    fields: [
      { name: "name", label: "Your name", autocomplete: "name" },
      { name: "email", label: "E-mail address", type: "email", autocomplete: "email" },
      password,
      { name: "organization_name", label: "Name of your organization" },
      { name: "analytics", label: "Send anonymous usage data (off unless you choose it)", type: "checkbox" },
    ],
    done: "The instance is yours. Sign in with the command line: seaway login " + location.origin,
  },
  "/verify-email": { title: "Confirm your e-mail address", button: "Confirm", path: "/email-verifications", fields: [], done: "The address is confirmed. You can sign in now." },
  "/reset-password": { title: "Choose a new password", button: "Set the password", path: "/password-resets/complete", fields: [password], done: "The password is set; every other session has ended. Sign in again." },
  "/confirm-email": { title: "Confirm your new address", button: "Confirm", path: "/me/email/confirm", fields: [], done: "The new address counts from now on." },
  "/cancel-email-change": { title: "Keep your present address", button: "Keep it", path: "/email-changes/cancel", fields: [], done: "The change is cancelled." },
  "/invitation": {
    title: "You were invited", button: "Make an account and join", path: "/sign-up", token: "invitation",
    intro: "With an account already: seaway invitations accept LINK",
    fields: [{ name: "name", label: "Your name", autocomplete: "name" }, { name: "email", label: "E-mail address (the invited one)", type: "email", autocomplete: "email" }, password],
    done: "Look into your mail for the code that confirms the address.",
  },
};
const page = pages[location.pathname];
const intro = document.getElementById("intro");
const form = document.getElementById("form");
const field = (wanted) => {
  const input = Object.assign(document.createElement("input"), { name: wanted.name, type: wanted.type || "text", required: wanted.type !== "checkbox" });
  if (wanted.autocomplete) input.autocomplete = wanted.autocomplete;
  const label = document.createElement("label");
  label.append(wanted.label, document.createElement("br"), input);
  const line = document.createElement("p");
  line.append(label);
  return line;
};
if (!page || !token) {
  intro.textContent = "The link is not complete. Open it exactly as it was printed or mailed, or ask for a new one.";
} else {
  document.title = document.getElementById("title").textContent = page.title;
  intro.textContent = page.intro || "Nothing has changed yet: press the button.";
  const button = Object.assign(document.createElement("button"), { textContent: page.button });
  form.append(...page.fields.map(field), button);
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const body = { [page.token || "token"]: token };
    for (const wanted of page.fields) body[wanted.name] = wanted.type === "checkbox" ? form.elements[wanted.name].checked : form.elements[wanted.name].value;
    try {
      const response = await fetch(`/api/v1${page.path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      if (response.ok) {
        form.hidden = true;
        intro.textContent = page.done;
        history.replaceState(null, "", location.pathname);
        return;
      }
      const problem = await response.json();
      const details = (problem.errors || []).map((one) => `${one.pointer.slice(1)}: ${one.detail}`);
      intro.textContent = [problem.title + ".", ...(details.length ? details : [problem.detail]), `(request ${problem.request_id})`].join(" ");
    } catch (error) {
      intro.textContent = `The request did not get through: ${error.message}. What you typed is still here; try again.`;
    }
    button.disabled = false;
  });
}
