// Renders /openapi.json and tries its methods. Everything goes into the page as text, never as markup.

import { formOf } from "/docs/form.js";
import { descriptionOf, el, explained, ordered, schemaList } from "/docs/schema.js";

const api = await (await fetch("/openapi.json")).json();
const session = { token: null };
const explanations = api.components.schemas.ErrorReason["x-enum-descriptions"];
const reasons = api.components.schemas.ErrorReason.enum.map((name) => [name, explanations[name]]);
reasons.forEach(([name]) => explained.add(name));

/** The methods in the order of the contract, with their paths below /v1/ or those of the original API, which does not have all of them. */
function methodsOf(original) {
  const all = Object.entries(api.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ path: original ? operation["x-original-path"] : path, verb, operation })))
    .filter(({ path }) => path !== undefined);
  const groups = api.tags.map(({ name }) => name);
  const position = ({ operation }) => groups.indexOf(operation.tags[0]) * 1000 + api["x-order"].indexOf(operation.operationId);
  return all.sort((one, other) => position(one) - position(other));
}

/** Calls the API. Returns what the page shows of the answer. */
async function call(verb, path, body, headers = {}) {
  const started = performance.now();
  const options = { method: verb.toUpperCase(), headers: { ...headers } };
  if (session.token) options.headers.authorization = `Bearer ${session.token}`;
  if (body !== undefined) {
    options.body = body;
    options.headers["content-type"] = "application/json";
  }
  const response = await fetch(path, options);
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { json = undefined; }
  return { response, text, json, milliseconds: Math.round(performance.now() - started) };
}

function notesOf(thing) {
  const notes = [];
  if (thing["x-permission"]) notes.push(el("span", { class: "note" }, `permission: ${thing["x-permission"]}`));
  if (thing["x-available-from"]) notes.push(el("span", { class: "note" }, `since ${thing["x-available-from"]}`));
  if (thing["x-deprecated-from"]) notes.push(el("span", { class: "note warn" }, `deprecated since ${thing["x-deprecated-from"]}`));
  return el("div", { class: "notes" }, ...notes);
}

function requestOf(operation) {
  if (operation.parameters) {
    const fields = operation.parameters.map((parameter) => [parameter.name, { ...parameter.schema, "x-required": parameter.required }]);
    return schemaList(api, fields, []);
  }
  const body = bodyOf(operation);
  return schemaList(api, ordered(body), body.required ?? []);
}

function bodyOf(operation) {
  const schema = operation.requestBody?.content["application/json"].schema ?? {};
  return resolve(schema);
}

function resolve(schema) {
  return schema.$ref ? schema.$ref.split("/").slice(1).reduce((at, key) => at[key], api) : schema;
}

/** The envelope of success in a response. */
function envelopeOf(operation) {
  return operation.responses["200"].content["application/json"].schema;
}

function resultOf({ response, text, json, milliseconds }) {
  const good = json?.status?.code === "OK";
  const line = el("div", { class: "line" },
    el("span", { class: good ? "good" : "bad" }, json?.status?.code ?? "no envelope"),
    el("span", {}, `HTTP ${response.status}`),
    el("span", {}, `${milliseconds} ms`));
  for (const name of ["x-error-reason", "x-next-page-token", "x-request-id", "retry-after"]) {
    const value = response.headers.get(name);
    if (value) line.append(el("span", {}, `${name}: ${value}`));
  }
  return el("div", { class: "result" }, line, el("pre", {}, json ? JSON.stringify(json, null, 2) : text));
}

function curlOf(verb, path, body) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ["curl", "-s", quote(location.origin + path), "-H", '"Authorization: Bearer $TOKEN"'];
  if (verb === "post") parts.push("-d", quote(body));
  return parts.join(" ");
}

function tryOut({ path, verb, operation }) {
  const answer = el("div", { "aria-live": "polite" });
  const curl = el("pre", { class: "wide" });
  const send = el("button", {}, "Send");
  const body = el("textarea", { class: "wide", spellcheck: "false", "aria-label": "Request body" });
  const fields = operation.parameters
    ? operation.parameters.map((parameter) => [parameter.name, parameter.schema, parameter.required])
    : ordered(bodyOf(operation)).map(([name, schema]) => [name, schema, (bodyOf(operation).required ?? []).includes(name)]);
  const inputs = formOf(api, fields, verb === "get");
  const target = () => {
    const query = verb === "get" ? inputs.query() : "";
    return query ? `${path}?${query}` : path;
  };
  const refresh = () => {
    if (verb === "post") body.value = JSON.stringify(inputs.value(), null, 2);
    curl.textContent = curlOf(verb, target(), body.value);
  };
  const form = el("form", { class: "try" }, ...inputs.elements, ...(verb === "post" ? [body] : []), curl,
    el("div", { class: "wide" }, send));
  form.addEventListener("input", (event) => {
    if (event.target !== body) refresh();
    else curl.textContent = curlOf(verb, target(), body.value);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      const result = await call(verb, target(), verb === "post" ? body.value : undefined);
      answer.replaceChildren(resultOf(result));
      if (operation.operationId.startsWith("Login") && result.json?.data?.token) login(result.json.data.token, "by this page");
      if (operation.operationId === "ReleaseToken" && result.json?.status?.code === "OK") logout("session released");
    } catch (error) {
      answer.replaceChildren(el("p", {}, `No answer: ${error.message}`));
    } finally {
      send.disabled = false;
    }
  });
  refresh();
  return el("div", {}, form, answer);
}

function method(entry) {
  const { path, verb, operation } = entry;
  const data = envelopeOf(operation).properties.data;
  const answer = data ? schemaList(api, [["data", data]], []) : el("p", {}, "No data: the status tells it all.");
  const attempt = el("details", { class: "attempt" }, el("summary", {}, "Try it"));
  attempt.addEventListener("toggle", () => {
    if (attempt.childElementCount === 1) attempt.append(tryOut(entry));
  });
  return el("section", { class: "method", id: operation.operationId },
    el("h2", {}, operation.operationId),
    el("div", { class: "path" }, el("span", { class: `verb ${verb}` }, verb.toUpperCase()), el("span", {}, path)),
    notesOf(operation), ...descriptionOf(operation.description),
    el("h3", {}, "Request"), requestOf(operation),
    el("h3", {}, "Answer"), answer,
    el("h3", {}, "Try it"), attempt);
}

function render(original) {
  const methods = methodsOf(original);
  document.querySelector("#methods").replaceChildren(...methods.map(method));
  const contents = api.tags.map(({ name }) => {
    const items = methods.filter(({ operation }) => operation.tags.includes(name));
    const links = items.map(({ operation }) => el("li", {}, el("a", { href: `#${operation.operationId}` }, operation.operationId)));
    return [el("h3", {}, name), el("ul", {}, ...links)];
  });
  const more = el("ul", {}, el("li", {}, el("a", { href: "#reasons" }, "Error reasons")),
    el("li", {}, el("a", { href: "/openapi.json" }, "openapi.json")));
  document.querySelector("#contents").replaceChildren(...contents.flat(), el("h3", {}, "Reference"), more);
}

function login(token, who) {
  session.token = token;
  const output = document.querySelector("#who");
  output.className = "good";
  output.textContent = `logged in ${who}`;
}

function logout(why) {
  session.token = null;
  const output = document.querySelector("#who");
  output.className = "bad";
  output.textContent = why;
}

document.querySelector("#session").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
  session.token = null;
  try {
    const { json } = await call("post", "/v1/authentication/token", JSON.stringify(given));
    if (json?.data?.token) login(json.data.token, `as ${given.username}`);
    else logout(json?.status?.message ?? "refused");
  } catch (error) {
    logout(`no answer: ${error.message}`);
  }
});

document.querySelector("#mount").addEventListener("change", (event) => render(event.target.value === "original"));
document.querySelector("#about").textContent = `version ${api.info.version}, as release ${api.info["x-release"]}`;
document.querySelector("#introduction").replaceChildren(...descriptionOf(api.info.description));
document.querySelector("#reasons").replaceChildren(el("h2", {}, "Error reasons"), el("div", { class: "schema" },
  ...reasons.map(([name, text]) => el("div", { class: "field", id: name }, el("span", { class: "name" }, name),
    ...descriptionOf(text.replace(`${name}: `, ""))))));
render(false);
document.body.dataset.ready = "true";
if (location.hash) document.querySelector(location.hash)?.scrollIntoView();
