// Schemas and descriptions as elements.

/** An element with attributes and children. Children that are strings become text. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Paragraphs, lists and `code`. */
export function descriptionOf(text = "") {
  return text.split(/\n\n+/).filter(Boolean).map((paragraph) => {
    const [first, ...items] = paragraph.split(/\n(?=- )/);
    if (items.length === 0 && !first.startsWith("- ")) return el("p", {}, ...inline(first));
    const list = (first.startsWith("- ") ? [first, ...items] : items).map((item) => el("li", {}, ...inline(item.slice(2))));
    const lead = first.startsWith("- ") ? [] : [el("p", {}, ...inline(first))];
    return el("div", {}, ...lead, el("ul", {}, ...list));
  });
}

function inline(text) {
  return text.split(/`([^`]+)`/).flatMap((part, index) => (index % 2 ? [el("code", {}, part)] : linked(part)));
}

/** Text in which names in capitals lead to their explanation, if the page has one. */
function linked(text) {
  return text.split(/\b([A-Z]+(?:_[A-Z]+)*)\b/).map((part, index) =>
    (index % 2 && explained.has(part) ? el("a", { href: `#${part}` }, part) : part));
}

/** The names that have an explanation on the page. */
export const explained = new Set();

/** The members of an object in the order of the contract. */
export function ordered(schema) {
  const names = schema["x-order"] ?? Object.keys(schema.properties ?? {});
  return names.filter((name) => name in schema.properties).map((name) => [name, schema.properties[name]]);
}

/** What a reference stands for; and of "this or null", this. */
export function resolved(api, schema) {
  if (schema.$ref) return { ...schema.$ref.split("/").slice(1).reduce((at, key) => at[key], api), ...without(schema, "$ref") };
  const alternatives = schema.anyOf?.filter((alternative) => alternative.type !== "null");
  if (alternatives?.length >= 1 && alternatives[0].$ref) return { ...resolved(api, alternatives[0]), ...without(schema, "anyOf") };
  if (alternatives?.length >= 1) return { ...alternatives[0], ...without(schema, "anyOf") };
  return schema;
}

function without(schema, key) {
  const { [key]: _, ...rest } = schema;
  return rest;
}

/** The names of a parameter of the form `field=value`. */
export function namesOf(schema) {
  return schema.pattern?.match(/^\^\((.+)\)=\.$/)?.[1].split("|");
}

/** Is it a list, and nothing else (but null)? */
function isList(schema) {
  return [schema.type].flat().every((type) => type === "array" || type === "null") && schema.items !== undefined;
}

function typeOf(api, schema) {
  if (isList(schema)) {
    const items = resolved(api, schema.items);
    return items.properties ? "list of objects" : `list of ${typeOf(api, items)}`;
  }
  const plain = resolved(api, schema);
  const choices = plain.enum?.filter((value) => value !== null);
  if (choices) return choices.join(" | ");
  const named = namesOf(plain);
  if (named) return named.map((name) => `${name}=…`).join(" | ");
  if (plain.properties || plain.oneOf) return "object";
  if (plain["x-date"] || plain.pattern?.endsWith(":[0-5]\\d$")) return "date";
  return [plain.type].flat().filter((type) => type !== "null")[0] ?? "";
}

/** The fields of an object, each with its type, its description and, folded, what is below. */
export function schemaList(api, fields, required) {
  const list = el("div", { class: "schema" });
  for (const [name, schema] of fields) list.append(field(api, name, schema, required.includes(name) || schema["x-required"]));
  if (fields.length === 0) list.append(el("p", {}, "Nothing."));
  return list;
}

function field(api, name, schema, required) {
  const plain = resolved(api, schema);
  const element = el("div", { class: "field" }, el("span", { class: "name" }, name), el("span", { class: "type" }, typeOf(api, schema)));
  if (required) element.append(el("span", { class: "required" }, "required"));
  if (schema["x-null"]) element.append(el("span", { class: "type" }, `null ${schema["x-null"]}`));
  const notes = [];
  if (schema["x-available-from"]) notes.push(`Since ${schema["x-available-from"]}.`);
  if (schema["x-deprecated-from"]) notes.push(`Deprecated since ${schema["x-deprecated-from"]}.`);
  element.append(...descriptionOf([schema.description ?? plain.description ?? "", ...notes].join(" ").trim()));
  const below = isList(schema) ? resolved(api, schema.items) : plain;
  if (below.properties || below.oneOf) element.append(folded(api, below));
  return element;
}

/** An alternative by its keys: the first one, with the others. */
function nameOf(alternative) {
  const [first, ...others] = ordered(alternative).map(([name]) => name);
  return others.length > 0 ? `${first} with ${others.join(" or ")}` : first;
}

function folded(api, schema) {
  // An object with alternatives, or one whose fields exclude each other.
  const alternatives = schema.properties ? null : schema.oneOf;
  const fields = alternatives ? alternatives.flatMap(ordered) : ordered(schema);
  const names = alternatives?.map(nameOf);
  const title = names ? `one of ${names.join(", ")}` : `${fields.length} fields`;
  const details = el("details", {}, el("summary", {}, title));
  // Filled when it is opened: an object may hold itself.
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) details.append(schemaList(api, fields, schema.required ?? []));
  });
  return details;
}
