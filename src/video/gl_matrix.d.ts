// gl-matrix types its whole; the module of 3x3 matrices alone keeps the other 9 out of a page's bundle.
declare module "gl-matrix/esm/mat3.js" {
  import type { mat3 } from "gl-matrix";
  export const fromValues: typeof mat3.fromValues;
  export const scale: typeof mat3.scale;
  export const translate: typeof mat3.translate;
}
