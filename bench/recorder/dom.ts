/** The page's element of an id. */
export const element = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

/** A new element that says something. */
export function text(tag: "strong" | "span", content: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = content;
  return made;
}
