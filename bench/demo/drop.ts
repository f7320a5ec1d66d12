/** Calls `take` with the file that is chosen with `input`. */
export function onChosen(input: HTMLInputElement, take: (file: File) => void): void {
  input.onchange = () => {
    const file = input.files?.[0];
    if (file) take(file);
    input.value = ""; // so that the same file can be chosen again
  };
}

/** Calls `take` with a file that is dropped anywhere on the page; while one is over it, the body has the class `dropping`. */
export function onDropped(take: (file: File) => void): void {
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  document.ondragleave = () => document.body.classList.remove("dropping");
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  };
}
