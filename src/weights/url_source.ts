/**
 * A ByteSource over HTTP. Facts of the platform that shape it: a server may ignore Range and answer 200 with the whole
 * body; CORS hides Content-Range unless the server exposes it; a missing file often arrives as an HTML page.
 */
import { fail, KinemaError } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { fromBytes } from "./byte_source.ts";

export interface UrlProgress {
  /** Bytes that have arrived from this address so far, all requests together. */
  readonly loaded: number;
  /** Size of the file in bytes, or null while it is unknown. */
  readonly total: number | null;
}

export interface UrlOptions {
  /** What messages call the file; the address when absent. */
  readonly name?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: UrlProgress) => void;
  /** Replaces the global fetch (authentication, a cache, a test). */
  readonly fetch?: typeof fetch;
}

/** Reads shorter than this fetch a whole block, so that many small tensors cost few requests. */
const BLOCK_BYTES = 1 << 20;

/**
 * Opens an address. The first request asks for one block; if the server answers with the whole file, or does not tell
 * the size, the whole body is kept in memory and served from there.
 * Throws "bad-input" (unreachable, HTTP error), "bad-file" (an HTML page), "truncated" (a short answer); an abort
 * rejects with the signal's reason.
 */
export async function fromUrl(url: string | URL, options: UrlOptions = {}): Promise<ByteSource> {
  const client = new RangeClient(String(url), options);
  const first = await client.request(0, BLOCK_BYTES);
  const total = first.status === 206 ? totalOf(first.headers.get("content-range")) : null;
  if (first.status === 206 && total !== null) {
    client.total = total;
    const block = await client.body(first, Math.min(BLOCK_BYTES, total));
    return new UrlSource(client, total, first.headers.get("etag"), block);
  }
  let response = first;
  if (first.status === 206) {
    await first.body?.cancel();
    response = await client.request(null, null); // the size is hidden: take everything once
    if (response.status === 206) fail("bad-input", `${url}: the server answers 206 to a request without Range`);
  }
  return fromBytes(await client.body(response, null), client.name);
}

/** The total of a Content-Range header, `bytes 0-7/1234`, or null. */
function totalOf(header: string | null): number | null {
  const match = /^bytes \d+-\d+\/(\d{1,15})$/.exec(header ?? "");
  return match ? Number(match[1]) : null;
}

class UrlSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  private readonly client: RangeClient;
  private readonly etag: string | null;
  private block: { start: number; bytes: Uint8Array };
  constructor(client: RangeClient, size: number, etag: string | null, first: Uint8Array) {
    this.name = client.name;
    this.size = size;
    this.client = client;
    this.etag = etag;
    this.block = { start: 0, bytes: first };
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = Math.min(offset + length, this.size);
    if (end <= offset) return new Uint8Array(0);
    const kept = this.block;
    if (offset >= kept.start && end <= kept.start + kept.bytes.byteLength) {
      return kept.bytes.subarray(offset - kept.start, end - kept.start);
    }
    const want = Math.min(Math.max(end - offset, BLOCK_BYTES), this.size - offset);
    const response = await this.client.request(offset, want);
    if (response.status !== 206) {
      await response.body?.cancel();
      fail("bad-input", `${this.name}: the server stopped answering ranges (HTTP ${response.status}); try again`);
    }
    const total = totalOf(response.headers.get("content-range"));
    if ((total !== null && total !== this.size) || response.headers.get("etag") !== this.etag) {
      await response.body?.cancel();
      fail("bad-input", `${this.name}: the file changed on the server while it was read; load it again`);
    }
    const bytes = await this.client.body(response, want);
    if (want <= BLOCK_BYTES) this.block = { start: offset, bytes };
    return bytes.subarray(0, end - offset);
  }
}

/** One address, its options, and the count of bytes that have arrived. */
class RangeClient {
  readonly url: string;
  readonly name: string;
  total: number | null = null;
  private loaded = 0;
  private readonly options: UrlOptions;
  constructor(url: string, options: UrlOptions) {
    this.url = url;
    this.name = options.name ?? url;
    this.options = options;
  }

  /** Sends a request for `length` bytes at `offset`, or for everything when both are null. */
  async request(offset: number | null, length: number | null): Promise<Response> {
    const { signal } = this.options;
    const init: RequestInit = {};
    if (signal) init.signal = signal;
    if (offset !== null && length !== null) init.headers = { Range: `bytes=${offset}-${offset + length - 1}` };
    let response: Response;
    try {
      response = await (this.options.fetch ?? fetch)(this.url, init);
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      return fail(
        "bad-input",
        `${this.url}: cannot be reached; check the address and the server's CORS headers`,
        {},
        cause,
      );
    }
    if (response.status === 416) return new Response(new Uint8Array(0), { status: 200 }); // an empty file has no first byte
    if (response.status !== 200 && response.status !== 206) {
      await response.body?.cancel();
      fail("bad-input", `${this.url}: the server answered HTTP ${response.status}; check the address`, {
        status: response.status,
      });
    }
    if (/^text\/html\b/i.test(response.headers.get("content-type") ?? "")) {
      await response.body?.cancel();
      fail("bad-file", `${this.url}: the server sent an HTML page instead of weights; check the address`);
    }
    return response;
  }

  /** Collects a body, reporting progress. `expected` null takes what comes. */
  async body(response: Response, expected: number | null): Promise<Uint8Array> {
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    if (expected === null && Number.isSafeInteger(length)) this.total = length;
    const chunks: Uint8Array[] = [];
    let got = 0;
    const { signal, onProgress } = this.options;
    try {
      const reader = response.body?.getReader();
      for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
        chunks.push(part.value);
        got += part.value.byteLength;
        this.loaded += part.value.byteLength;
        onProgress?.({ loaded: this.loaded, total: this.total });
        if (expected !== null && got > expected) break;
      }
      await reader?.cancel();
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      if (cause instanceof KinemaError) throw cause;
      fail("truncated", `${this.url}: the connection broke after ${got} bytes; load it again`, { got }, cause);
    }
    if (expected !== null && got !== expected) {
      fail("truncated", `${this.url}: asked for ${expected} bytes and got ${got}; load it again`, { expected, got });
    }
    return join(chunks, got);
  }
}

function join(chunks: Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
