// The list of recordings.
import { formatTime } from "../../src/cli/time.ts";
import { element, text } from "./dom.ts";
import { bytesText } from "./figures.ts";
import type { Recording } from "./folder.ts";

export interface ListActions {
  open(name: string): void;
  download(name: string): void;
  remove(name: string): void;
}

/** The recording that is open, and whether it is being made. */
export interface Current {
  readonly name: string;
  readonly growing: boolean;
}

/** Shows the recordings. */
export function showRecordings(recordings: readonly Recording[], current: Current | null, actions: ListActions): void {
  const rows = recordings.map((recording) =>
    row(recording, recording.name === current?.name ? current : null, actions),
  );
  element("recordings").replaceChildren(...rows);
  element("none").hidden = recordings.length > 0;
}

function row(
  { name, bytes, modified, content }: Recording,
  current: Current | null,
  actions: ListActions,
): HTMLLIElement {
  const item = document.createElement("li");
  item.dataset.name = name;
  if (current) item.setAttribute("aria-current", "true");
  const title = text("strong", name);
  const rate = content?.rate ? `1/${content.rate}` : "other weights";
  const kept = content ? `${formatTime(content.seconds)} · ${bytesText(bytes)} · ${rate}` : "no whole recording";
  const facts = current?.growing ? `being recorded · ${rate}` : kept;
  const when = new Date(modified).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const buttons = text("span", "");
  buttons.append(button("Open", () => actions.open(name), content !== null));
  buttons.append(
    button("Download", () => actions.download(name)),
    button("Delete", () => actions.remove(name)),
  );
  item.append(title, text("span", `${facts} · ${when}`), buttons);
  return item;
}

function button(label: string, act: () => void, enabled = true): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.disabled = !enabled;
  made.onclick = act;
  return made;
}
