// What the bench's page is put together from.
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  text = "",
  className = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function section(title: string, note: string, ...content: readonly Element[]): HTMLElement {
  const made = element("section");
  made.append(element("h2", title), element("p", note, "note"), ...content);
  return made;
}

/** A table whose first row heads its columns and whose first column names its rows. */
export function tableOf(caption: string, [head, ...rows]: readonly (readonly string[])[]): HTMLElement {
  const made = element("table");
  made.append(element("caption", caption, "visually-hidden"));
  const heads = made.createTHead().insertRow();
  for (const text of head!) heads.append(cell("th", text, "col"));
  const body = made.createTBody();
  for (const [first, ...rest] of rows) {
    const row = body.insertRow();
    row.append(cell("th", first!, "row"), ...rest.map((text) => element("td", text)));
    // A line in place of numbers takes the room of all of them.
    const last = row.cells[row.cells.length - 1]!;
    if (row.cells.length < head!.length) {
      last.colSpan = head!.length - row.cells.length + 1;
      last.className = "alert";
    }
  }
  const scroll = element("div", "", "scroll");
  scroll.tabIndex = 0; // so that the keyboard scrolls it
  scroll.append(made);
  return scroll;
}

function cell(name: "th", text: string, scope: "col" | "row"): HTMLTableCellElement {
  const made = element(name, text);
  made.scope = scope;
  return made;
}

/** The numbers that a chart shows, folded away below it: who sees the chart has read them. */
export function numbers(table: HTMLElement): HTMLElement {
  const made = element("details");
  made.append(element("summary", "Numbers", "note"), table);
  return made;
}
