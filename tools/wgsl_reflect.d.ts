// The package types its CommonJS entry only; we import the module file (see gen.ts).
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export { detectRaces, WgslReflect } from "wgsl_reflect";
}
