/** In Node: which rivals are installed here, and the scripts that a page loads them by. `root` is the repository's folder. */
export function rivalFolders(root: string): { models: string; ort: string; litert: string; scripts: string };
export function rivalsHere(root: string): string[];
export function hasModel(root: string, name: string): boolean;
export function bundleRivals(root: string): Promise<void>;
