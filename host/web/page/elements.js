// Elements of the page: found by id, and made.

export function byId(id) {
  return document.getElementById(id);
}

// An element with properties and children; a string is a text of the page, never HTML.
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
