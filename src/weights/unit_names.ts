/**
 * From the names of published checkpoints to Kinema's own (tsm-stam.md 2.3 to 2.5): official TSM (offline and online),
 * mmaction2, torchvision, and our own names as they are.
 */

/** A raw name, normalised. `part` is what follows the unit: weight, bias, bn.weight, ... */
export interface UnitName {
  readonly unit: string;
  readonly part: string;
  /** True when the raw name has `.net`: the unit is preceded by a temporal shift. */
  readonly shifted: boolean;
}

/** How a MobileNetV2 file numbers the layers inside an inverted residual block. */
export type MobileNetStyle = "flat" | "nested";

type Found = readonly [unit: string, part: string] | null;
type Reading = (groups: readonly string[], style: MobileNetStyle) => Found;

/** Names that are known and that inference does not need. */
export function isIgnorable(raw: string): boolean {
  return raw.endsWith("num_batches_tracked") || /^data_preprocessor\.(?:mean|std)$/.test(raw);
}

/** torchvision nests conv and norm (`conv.0.0`), the official code lists them flat (`conv.0`, `conv.1`). */
export function mobileNetStyle(names: Iterable<string>): MobileNetStyle {
  for (const name of names) {
    if (/(?:^|\.)features\.\d{1,2}\.conv\.\d\.(?:net\.)?\d\./.test(name)) return "nested";
  }
  return "flat";
}

/** The canonical unit and part of a raw name, or null for a name that no known file has. */
export function unitName(raw: string, style: MobileNetStyle): UnitName | null {
  if (raw.length > 200) return null;
  const bare = raw.replace(/^module\./, "").replace(/^(?:base_model|backbone)\./, "");
  const name = bare.replace(".net.", ".").replace(".block.", ".");
  for (const [pattern, reading] of PATTERNS) {
    const match = pattern.exec(name);
    const found = match && reading(match.slice(1), style);
    if (found) return { unit: found[0], part: found[1], shifted: bare.includes(".net.") };
  }
  return null;
}

const NORM = "weight|bias|running_mean|running_var";

/** `norm` is any of the ways in which files say that a part belongs to the batch norm and not to the convolution. */
function part(norm: boolean, name: string): string {
  return norm ? `bn.${name}` : name;
}

/** Patterns use {norm} for the four tensors of a batch norm. The first that matches and gives a unit decides. */
const PATTERNS: readonly (readonly [RegExp, Reading])[] = (
  [
    ["(?:new_fc|fc|classifier|classifier.1|cls_head.fc_cls).(weight|bias)", ([p]) => ["head", p!]],
    // ResNet: official and torchvision (conv1, bn1), mmaction2 (conv1.conv, conv1.bn)
    ["conv1(?:.conv)?.(weight|bias)", ([p]) => ["stem", p!]],
    ["(?:bn1|conv1.bn).({norm})", ([p]) => ["stem", part(true, p!)]],
    ["(layer[1-9].\\d{1,3}.conv[123])(?:.conv)?.(weight|bias)", ([unit, p]) => [unit!, p!]],
    ["(layer[1-9].\\d{1,3}.conv[123]).bn.({norm})", ([unit, p]) => [unit!, part(true, p!)]],
    ["(layer[1-9].\\d{1,3}).bn([123]).({norm})", ([at, i, p]) => [`${at}.conv${i}`, part(true, p!)]],
    ["(layer[1-9].\\d{1,3}.downsample).(?:0|conv).(weight|bias)", ([unit, p]) => [unit!, p!]],
    ["(layer[1-9].\\d{1,3}.downsample).(?:1|bn).({norm})", ([unit, p]) => [unit!, part(true, p!)]],
    // Non-local blocks: official nl.*, mmaction2 non_local_block.*
    [
      "(layer[1-9].\\d{1,3}).(?:nl|non_local_block).(theta|phi|g)(?:.0)?(?:.conv)?.(weight|bias)",
      ([at, role, p]) => [`${at}.nl.${role}`, p!],
    ],
    ["(layer[1-9].\\d{1,3}).(?:nl.W.0|non_local_block.conv_out.conv).(weight|bias)", ([at, p]) => [`${at}.nl.out`, p!]],
    [
      "(layer[1-9].\\d{1,3}).(?:nl.W.1|non_local_block.conv_out.bn).({norm})",
      ([at, p]) => [`${at}.nl.out`, part(true, p!)],
    ],
    // MobileNetV2 of mmaction2; its stem shares ResNet's names
    ["conv2.(conv|bn).({norm})", ([kind, p]) => ["last", part(kind === "bn", p!)]],
    ["layer([1-7]).(\\d).conv.([012]).(conv|bn).({norm})", stagedBlock],
    // MobileNetV2 of the official code and of torchvision
    ["features.(0|18).([01]).({norm})", ([i, j, p]) => [i === "0" ? "stem" : "last", part(j === "1", p!)]],
    ["features.([1-9]|1[0-7]).conv.(\\d)(?:.([01]))?.({norm})", numberedBlock],
    // Kinema's own names
    [
      "(stem|last|head|blocks.(?:[1-9]|1[0-7]).(?:expand|depthwise|project)|layer[1-4].\\d{1,2}.(?:downsample|conv[123]|nl.(?:theta|phi|g|out))).((?:bn.)?(?:weight|bias)|bn.running_(?:mean|var))",
      ([unit, p]) => [unit!, p!],
    ],
  ] as [string, Reading][]
).map(([pattern, reading]) => [compile(pattern), reading]);

/** Whole-name pattern in which a dot means a dot. */
function compile(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern.replaceAll(".", "\\.").replaceAll("{norm}", NORM)})$`);
}

/** The `step`-th conv of an inverted residual block; block 1 has no expansion. */
function blockUnit(index: number, step: number): string | null {
  const role = (index === 1 ? ["depthwise", "project"] : ["expand", "depthwise", "project"])[step];
  return role === undefined ? null : `blocks.${index}.${role}`;
}

/** Blocks in stage s = 1..7 of MobileNetV2. */
const BLOCKS_IN_STAGE = [0, 1, 2, 3, 4, 3, 3, 1];

/** mmaction2 counts blocks per stage: layer{s}.{b}.conv.{step}. */
function stagedBlock([stage, block, step, kind, name]: readonly string[]): Found {
  if (Number(block) >= BLOCKS_IN_STAGE[Number(stage)]!) return null;
  const before = BLOCKS_IN_STAGE.slice(0, Number(stage)).reduce((sum, count) => sum + count, 0);
  const unit = blockUnit(1 + before + Number(block), Number(step));
  return unit === null ? null : [unit, part(kind === "bn", name!)];
}

/** features.{index}.conv.{outer}[.{inner}] in either style. */
function numberedBlock([index, outer, inner, name]: readonly string[], style: MobileNetStyle): Found {
  const place = style === "flat" ? flatPlace(Number(outer), inner) : nestedPlace(Number(index), Number(outer), inner);
  const unit = place && blockUnit(Number(index), place.step);
  return unit ? [unit, part(place.norm, name!)] : null;
}

interface Place {
  readonly step: number;
  readonly norm: boolean;
}

/** conv 0, norm 1, activation 2, conv 3, norm 4, activation 5, conv 6, norm 7. */
function flatPlace(index: number, inner: string | undefined): Place | null {
  return inner !== undefined || index % 3 === 2 ? null : { step: Math.floor(index / 3), norm: index % 3 === 1 };
}

/** [conv, norm] pairs for all but the projection, whose conv and norm follow as plain items. */
function nestedPlace(index: number, at: number, inner: string | undefined): Place | null {
  const pairs = index === 1 ? 1 : 2;
  if (inner !== undefined) return at < pairs ? { step: at, norm: inner === "1" } : null;
  return at === pairs || at === pairs + 1 ? { step: pairs, norm: at === pairs + 1 } : null;
}
