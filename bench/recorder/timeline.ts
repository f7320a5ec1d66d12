// The timeline under the picture: a strip of frames, and a slider over it that mouse, finger and arrow keys move.
import { formatTime } from "../../src/cli/time.ts";
import { element } from "./dom.ts";
import type { Player } from "./player.ts";

const seek = element<HTMLInputElement>("seek");
const strip = element<HTMLCanvasElement>("strip");
const play = element<HTMLButtonElement>("play");
const time = element("time");

let player: Player | null = null;

/** Serves this player from now on; none for null. */
export function attach(next: Player | null): void {
  player = next;
  strip.getContext("2d")!.clearRect(0, 0, strip.width, strip.height);
  update();
}

/** Shows where the player is. */
export function update(): void {
  const last = Math.max(0, (player?.frames ?? 0) - 1);
  seek.max = String(last);
  seek.disabled = !player || player.frames === 0;
  play.disabled = seek.disabled;
  play.textContent = player?.playing ? "Pause" : "Play";
  if (!player) {
    time.textContent = "–";
    return;
  }
  seek.value = String(player.position);
  const at = formatTime(player.position / player.fps);
  seek.setAttribute("aria-valuetext", at);
  time.textContent = player.following ? `${at}, live` : `${at} of ${formatTime(player.frames / player.fps)}`;
}

/** Fills the strip with frames from all along the store, one after another, whenever nothing else is decoded. */
export async function fillStrip(): Promise<void> {
  const shown = player;
  const { clientWidth, clientHeight } = strip;
  if (!shown || shown.frames === 0 || clientHeight === 0) return;
  const { width, height } = shown.description;
  const each = (clientHeight * width) / height;
  strip.width = Math.round(clientWidth * devicePixelRatio);
  strip.height = Math.round(clientHeight * devicePixelRatio);
  const context = strip.getContext("2d")!;
  context.scale(devicePixelRatio, devicePixelRatio);
  const picture = new OffscreenCanvas(width, height);
  for (let left = 0; left < clientWidth; left += each) {
    const middle = Math.min(1, (left + each / 2) / clientWidth);
    const pixels = await shown.picture(Math.round(middle * (shown.frames - 1)));
    if (player !== shown) return;
    if (!pixels) continue;
    picture.getContext("2d")!.putImageData(new ImageData(pixels, width, height), 0, 0);
    context.drawImage(picture, left, 0, each, clientHeight);
  }
}

seek.oninput = () => player?.point(Number(seek.value));
play.onclick = () => (player?.playing ? player.pause() : player?.play());
// A mouse that passes over shows what is there; where it leaves, the picture is again that of the position.
seek.onpointermove = ({ pointerType, buttons, offsetX }) => {
  if (!player || pointerType !== "mouse" || buttons !== 0 || player.playing || player.following) return;
  const share = Math.max(0, Math.min(1, offsetX / seek.clientWidth));
  player.peek(Math.round(share * Math.max(0, player.frames - 1)));
};
seek.onpointerleave = ({ pointerType, buttons }) => {
  if (player && pointerType === "mouse" && buttons === 0 && !player.playing && !player.following)
    player.peek(player.position);
};
