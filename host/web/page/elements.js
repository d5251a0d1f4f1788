// Finds elements of the page by id, and makes new ones.

export function byId(id) {
  return document.getElementById(id);
}

// A new element with properties and children. A string becomes text, never HTML.
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
