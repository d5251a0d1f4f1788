// The sampler settings: a form made from the table of site.json, and the SET requests to the board.

import { make } from "./elements.js";
import { UNTIL_STOP } from "./messages.js";

const ONE = 65536;
const MAX_TOKENS = 7;

export class Settings {
  #rows;
  #fields = new Map(); // By setting: its row of site.json, its input, and its hint.
  #wanted = new Map(); // By setting: the value that the user chose, as on the wire.
  #held = {}; // By setting: the board's value, as on the wire.

  // Fills the form with a field for each of rows, the settings of site.json, and with two checkboxes.
  constructor(form, rows) {
    this.#rows = rows;
    this.template = checkbox("Chat template", "without it the model goes on from your words as they are", true);
    this.asksFirst = checkbox("Ask me before the board acts", "calls of the model wait for your leave", false);
    form.append(...rows.map((row) => this.#field(row)), this.template.element, this.asksFirst.element);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  #field(row) {
    const id = `setting-${row.name}`;
    const input = row.choices.length
      ? make("select", { id }, ...row.choices.map((choice) => make("option", { value: choice }, choice)))
      : make("input", { id, inputMode: row.unit === "Q16.16" ? "decimal" : "numeric", autocomplete: "off" });
    const hint = make("p", { className: "hint", id: `${id}-hint` }, row.meaning);
    input.setAttribute("aria-describedby", hint.id);
    input.addEventListener("change", () => this.#changed(row, input, hint));
    this.#fields.set(row.setting, { row, input, hint });
    return make("div", {}, make("label", { htmlFor: id }, row.name.replaceAll("_", " ")), input, hint);
  }

  #changed(row, input, hint) {
    const value = encode(row, input.value);
    input.setAttribute("aria-invalid", String(value === null));
    hint.classList.toggle("wrong", value === null);
    hint.textContent = value === null ? `expected ${row.expected}` : row.meaning;
    if (value !== null) this.#wanted.set(row.setting, value);
  }

  // Read the board's settings and show them; a value that the user chose stays.
  async load(link) {
    this.#held = await link.get();
    for (const { setting } of this.#rows) this.#show(setting, this.#wanted.get(setting) ?? this.#held[setting]);
  }

  #show(setting, value) {
    const { row, input } = this.#fields.get(setting);
    if (value !== undefined) input.value = decode(row, value);
  }

  // Send the board the values that the user chose and it does not have yet.
  async apply(link) {
    for (const [setting, value] of this.#wanted) {
      if (this.#held[setting] === value) continue;
      await link.set(setting, value);
      this.#held[setting] = value;
    }
    link.asksFirst = this.asksFirst.input.checked;
  }

  // max_tokens for a PROMPT.
  get maxTokens() {
    return (this.#wanted.get(MAX_TOKENS) ?? this.#held[MAX_TOKENS]) || UNTIL_STOP;
  }

  // The settings by name, in the units that people use, for a saved conversation.
  document() {
    const value = ({ setting }) => this.#wanted.get(setting) ?? this.#held[setting];
    return Object.fromEntries(
      this.#rows.map((row) => [
        row.name,
        row.choices.length ? decode(row, value(row)) : Number(decode(row, value(row))),
      ]),
    );
  }
}

function checkbox(label, hint, checked) {
  const input = make("input", { type: "checkbox", checked });
  const element = make("div", {}, make("label", { className: "check" }, input, label));
  element.append(make("p", { className: "hint" }, hint));
  return { input, element };
}

// The u32 on the wire for the text in a field; null if the text is no number or out of range.
export function encode(row, text) {
  if (row.choices.length) return row.choices.indexOf(text);
  const isReal = row.unit === "Q16.16";
  const form = isReal ? /^\d+(\.\d*)?$|^\.\d+$/ : /^\d+$/;
  if (!form.test(text.trim())) return null;
  const value = Math.round(Number(text) * (isReal ? ONE : 1));
  return value >= row.minimum && value <= row.maximum ? value : null;
}

// A value on the wire as text. A Q16.16 becomes the shortest decimal that encodes to the same value.
export function decode(row, value) {
  if (row.choices.length) return row.choices[value] ?? String(value);
  if (row.unit !== "Q16.16") return String(value);
  for (let digits = 0; digits < 6; digits++) {
    const text = (value / ONE).toFixed(digits);
    if (Math.round(Number(text) * ONE) === value) return text;
  }
  return (value / ONE).toFixed(6);
}
