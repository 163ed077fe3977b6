// Stands between an HTTP client and an HTTP server, and writes down every exchange.

import { createServer, request } from "node:http";
import { once } from "node:events";

/** Headers of one hop, or of one moment. */
const OF_THE_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "date", "host"]);

export class HttpRecorder {
  /** Stands before `upstream`, a base URL, and stops after the test. */
  static async start(t, upstream) {
    const recorder = new HttpRecorder(new URL(upstream));
    const server = createServer((asked, answer) => recorder.#pass(asked, answer));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    recorder.url = `http://127.0.0.1:${server.address().port}`;
    return recorder;
  }

  constructor(upstream) {
    this.upstream = upstream;
    this.exchanges = [];
  }

  #pass(asked, answer) {
    const exchange = {
      method: asked.method,
      url: asked.url,
      asked: headers(asked.rawHeaders),
      sent: [],
      status: null,
      answered: [],
      got: [],
      complete: false,
    };
    this.exchanges.push(exchange);
    const { hostname, port } = this.upstream;
    const onward = request({
      hostname,
      port,
      method: asked.method,
      path: asked.url,
      // As sent, in order and case.
      headers: asked.rawHeaders,
      agent: false,
    });
    onward.on("error", () => answer.destroy());
    onward.on("response", (got) => {
      exchange.status = got.statusCode;
      exchange.answered = headers(got.rawHeaders);
      answer.writeHead(got.statusCode, got.statusMessage, got.rawHeaders);
      answer.flushHeaders();
      got.on("data", (bytes) => exchange.got.push(bytes));
      got.on("end", () => {
        exchange.complete = got.complete;
      });
      got.on("error", () => answer.destroy());
      got.pipe(answer);
    });
    asked.on("data", (bytes) => exchange.sent.push(bytes));
    asked.pipe(onward);
    answer.on("close", () => {
      if (!answer.writableFinished) onward.destroy();
    });
  }
}

function headers(raw) {
  const pairs = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at].toLowerCase();
    if (!OF_THE_HOP.has(name)) pairs.push([name, raw[at + 1]]);
  }
  return pairs;
}

/** The body that was sent, as text. */
export const sent = (exchange) => Buffer.concat(exchange.sent).toString();

/** The body that was answered, as text. */
export const got = (exchange) => Buffer.concat(exchange.got).toString();
