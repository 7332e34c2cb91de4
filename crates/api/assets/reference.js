"use strict";
// The API reference: reads openapi.json and lets each operation be tried with the token typed above (kept in this page only).
const main = document.getElementById("operations");
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const resolve = (document_, schema) => {
  if (!schema || !schema.$ref) return schema;
  return document_.components.schemas[schema.$ref.split("/").pop()];
};
const example = (document_, schema, depth = 0) => {
  const known = resolve(document_, schema);
  if (!known || depth > 4) return null;
  if (known.example !== undefined) return known.example;
  if (known.default !== undefined) return known.default;
  if (known.enum) return known.enum[0];
  const variant = (known.oneOf || known.anyOf || known.allOf || []).find((one) => one.type !== "null");
  if (variant) return example(document_, variant, depth + 1);
  const type = Array.isArray(known.type) ? known.type.find((one) => one !== "null") : known.type;
  if (type === "object") {
    const wanted = known.required || [];
    return Object.fromEntries(Object.entries(known.properties || {}).filter(([name]) => wanted.includes(name)).map(([name, one]) => [name, example(document_, one, depth + 1)]));
  }
  return { array: [], boolean: false, integer: 0, number: 0, string: "" }[type] ?? null;
};
const show = (document_, path, method, operation) => {
  const inputs = new Map();
  const parameters = element("div", { className: "parameters" });
  for (const parameter of operation.parameters || []) {
    const input = element("input", { required: Boolean(parameter.required) });
    if (parameter.name === "Idempotency-Key") input.value = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
    inputs.set(parameter, input);
    parameters.append(element("label", {}, `${parameter.name} (${parameter.in})`), input);
  }
  const media = operation.requestBody && operation.requestBody.content["application/json"];
  const body = media ? element("textarea", { value: JSON.stringify(example(document_, media.schema), null, 2), spellcheck: false }) : null;
  const output = element("pre", { hidden: true });
  const send = element("button", { type: "button", textContent: "Send" });
  send.addEventListener("click", async () => {
    let address = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (parameter.in === "query" && input.value) query.set(parameter.name, input.value);
      else if (parameter.in === "header" && input.value) headers[parameter.name] = input.value;
    }
    const token = document.getElementById("token").value.trim();
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    output.hidden = false;
    output.textContent = "…";
    try {
      const response = await fetch(query.size ? `${address}?${query}` : address, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
      output.textContent = `${response.status} ${response.statusText}\n${shown}`;
    } catch (error) {
      output.textContent = `The request did not get through: ${error.message}`;
    }
  });
  const summary = element("summary", {}, element("span", { className: "method", textContent: method.toUpperCase() }), element("code", { textContent: path }), ` ${operation.summary || ""}`);
  const details = element("details", { id: operation.operationId }, summary, element("p", { textContent: operation.description || "" }), parameters, ...(body ? [body] : []), send, output);
  details.dataset.words = `${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  return details;
};
fetch("/api/v1/openapi.json").then((response) => response.json()).then((document_) => {
  const tags = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!operation.operationId) continue;
      const tag = (operation.tags || ["other"])[0];
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(show(document_, path, method, operation));
    }
  }
  main.replaceChildren(...[...tags].flatMap(([tag, operations]) => [element("h2", { textContent: tag }), ...operations]));
}).catch((error) => { main.textContent = `The document could not be loaded: ${error.message}`; });
document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const details of main.querySelectorAll("details")) details.hidden = !details.dataset.words.includes(wanted);
});
document.getElementById("settings").addEventListener("submit", (event) => event.preventDefault());
