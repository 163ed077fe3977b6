// A collector that keeps what it is sent.

import { once } from "node:events";
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";
import { buffer } from "node:stream/consumers";

import { Capture } from "../dist/capture.js";
import { Observer } from "../dist/observer.js";
import { Telemetry } from "../dist/telemetry.js";


/** The fields of a message of Protocol Buffers, as [number, value] where a value is bytes, a number or a bigint. */
function fields(bytes) {
  const found = [];
  let at = 0;
  const varint = () => {
    let [value, shift] = [0n, 0n];
    for (;;) {
      const byte = bytes[at];
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    if ((key & 7) === 0) found.push([key >> 3, varint()]);
    else if ((key & 7) === 1) { found.push([key >> 3, bytes.readBigUInt64LE(at)]); at += 8; }
    else if ((key & 7) === 5) { found.push([key >> 3, bytes.readUInt32LE(at)]); at += 4; }
    else {
      const length = Number(varint());
      found.push([key >> 3, bytes.subarray(at, at + length)]);
      at += length;
    }
  }
  return found;
}

const all = (bytes, number) => fields(bytes).filter(([field]) => field === number).map(([, value]) => value);
const first = (bytes, number) => all(bytes, number)[0];

function anyValue(bytes) {
  const [[kind, value] = []] = fields(bytes);
  if (kind === 1) return value.toString();
  if (kind === 2) return value !== 0n;
  if (kind === 3) return Number(value);
  if (kind === 5) return all(value, 1).map(anyValue);
  return undefined;
}

const attributes = (bytes, number) => Object.fromEntries(all(bytes, number).map((pair) => [first(pair, 1).toString(), anyValue(first(pair, 2))]));

function span(bytes) {
  const status = first(bytes, 15) ?? Buffer.alloc(0);
  return {
    traceId: first(bytes, 1).toString("hex"), spanId: first(bytes, 2).toString("hex"), parentId: (first(bytes, 4) ?? Buffer.alloc(0)).toString("hex"),
    name: first(bytes, 5).toString(), kind: Number(first(bytes, 6)), attributes: attributes(bytes, 9),
    events: all(bytes, 11).map((event) => ({ name: first(event, 2).toString(), attributes: attributes(event, 3) })),
    status: { code: Number(first(status, 3) ?? 0), message: (first(status, 2) ?? "").toString() },
  };
}

function logRecord(bytes) {
  const body = first(bytes, 5);
  return {
    body: body && anyValue(body), attributes: attributes(bytes, 6), spanId: (first(bytes, 10) ?? Buffer.alloc(0)).toString("hex"),
    event: (first(bytes, 12) ?? "").toString(), severity: Number(first(bytes, 2) ?? 0),
  };
}

export class Collector {
  status = 200;
  limit = 1 << 30;
  asked = 0;
  headers = {};
  spans = [];
  logs = [];
  resources = [];
  text = "";

  static async start(t) {
    const collector = new Collector();
    const server = createServer(async (request, response) => {
      const sent = await buffer(request);
      collector.asked += 1;
      collector.headers = request.headers;
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
      const status = body.length <= collector.limit ? collector.status : 413;
      if (status === 200) collector.take(request.url, body);
      response.writeHead(status).end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => { server.closeAllConnections(); server.close(); });
    collector.url = `http://127.0.0.1:${server.address().port}`;
    return collector;
  }

  take(path, bytes) {
    this.text += bytes.toString("latin1");
    for (const resource of all(bytes, 1)) {
      this.resources.push(attributes(first(resource, 1), 1));
      const records = all(resource, 2).flatMap((scope) => all(scope, 2));
      if (path === "/v1/traces") this.spans.push(...records.map(span));
      else this.logs.push(...records.map(logRecord));
    }
  }
}

/** A collector, and what watches a server called shop and tells it. */
export async function observed(t, { capture = new Capture(), caller, ...options } = {}) {
  const collector = await Collector.start(t);
  const telemetry = new Telemetry("shop", { endpoint: collector.url, ...options });
  t.after(() => telemetry.courier.close(100));
  return { collector, observer: new Observer(telemetry, capture, "shop", caller), flush: () => telemetry.courier.flush(10_000) };
}

/** Asks until the answer is true. */
export async function eventually(ask) {
  const end = Date.now() + 30_000;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`it did not come: ${ask}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}
