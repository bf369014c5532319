// Forms: inputs for the fields of a request, and the request that they make.

import { el, namesOf, ordered, resolved } from "/docs/schema.js";

/** Fields beyond this many are folded away, unless they are required. */
const SHOWN = 8;
let ids = 0;

/** The inputs for fields given as [name, schema, required]. */
export function formOf(api, fields, isQuery) {
  const inputs = fields.map(([name, schema, required]) => ({ name, required, ...inputOf(api, name, schema, isQuery) }));
  const rows = inputs.map(({ name, required, id, element }) =>
    [el("label", { for: id }, required ? `${name} *` : name), el("div", { class: "input" }, element)]);
  const first = rows.filter((_, index) => index < SHOWN || inputs[index].required);
  const rest = rows.filter((_, index) => index >= SHOWN && !inputs[index].required);
  const elements = first.flat();
  if (rest.length > 0) {
    const more = el("div", { class: "more", hidden: "" }, ...rest.flat());
    const button = el("a", { href: "#", class: "wide" }, `${rest.length} more fields`);
    button.addEventListener("click", (event) => {
      event.preventDefault();
      more.hidden = false;
      button.remove();
    });
    elements.push(button, more);
  }
  const given = () => inputs.map((input) => [input.name, input.value()]).filter(([, value]) => value !== undefined);
  return {
    elements,
    value: () => Object.fromEntries(given()),
    query: () => given().map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&"),
  };
}

/** One input: its element, the id that its label is for, and its value; undefined when it is left out. */
function inputOf(api, name, schema, isQuery) {
  const plain = resolved(api, schema);
  const id = `input-${(ids += 1)}`;
  if (plain.oneOf) return { id, ...alternatives(api, plain.oneOf, id) };
  const names = isQuery && namesOf(plain);
  if (names) return { id, ...named(names, id) };
  if (plain.type?.includes?.("array") && plain.items?.enum) return { id, ...several(plain.items.enum, id) };
  const choices = plain.enum?.filter((value) => value !== null);
  if (choices) {
    const select = el("select", { id }, el("option", { value: "" }, "–"), ...choices.map((value) => el("option", {}, value)));
    return { id, element: select, value: () => select.value || undefined };
  }
  return { id, ...text(schema, plain, id) };
}

function text(schema, plain, id) {
  const input = el("input", { id, placeholder: plain.examples?.[0] ?? "" });
  const number = [plain.type].flat().some((type) => type === "number") || (plain.type?.includes?.("integer") && !plain.type.includes("string"));
  const read = () => {
    if (input.value === "") return undefined;
    return number && /^-?\d+(\.\d+)?$/.test(input.value) ? Number(input.value) : input.value;
  };
  if (!schema["x-null"]) return { element: input, value: read };
  const empty = el("input", { type: "checkbox" });
  const element = el("span", { class: "input" }, input, el("label", {}, empty, " null"));
  return { element, value: () => (empty.checked ? null : read()) };
}

/** Any number of names. */
function several(names, id) {
  const select = el("select", { id, multiple: "", size: names.length }, ...names.map((name) => el("option", {}, name)));
  const value = () => {
    const chosen = [...select.selectedOptions].map((option) => option.textContent);
    return chosen.length > 0 ? chosen : undefined;
  };
  return { element: select, value };
}

/** An object of which one alternative is given. */
function alternatives(api, options, id) {
  const select = el("select", { id }, el("option", { value: "" }, "–"),
    ...options.map((option, index) => el("option", { value: index }, ordered(option).map(([name]) => name).join(" + "))));
  const inputs = el("span", { class: "input" });
  let fields = [];
  select.addEventListener("change", () => {
    const chosen = select.value === "" ? [] : ordered(options[select.value]);
    fields = chosen.map(([name]) => [name, el("input", { placeholder: name, "aria-label": name })]);
    inputs.replaceChildren(...fields.map(([, input]) => input));
  });
  const value = () => {
    const given = fields.filter(([, input]) => input.value !== "").map(([name, input]) => [name, input.value]);
    return given.length > 0 ? Object.fromEntries(given) : undefined;
  };
  return { element: el("span", { class: "input" }, select, inputs), value };
}

/** A parameter of the form `field=value`. */
function named(names, id) {
  const select = el("select", { id }, ...names.map((name) => el("option", {}, name)));
  const input = el("input", { "aria-label": "value" });
  const value = () => (input.value === "" ? undefined : `${select.value}=${input.value}`);
  return { element: el("span", { class: "input" }, select, input), value };
}
