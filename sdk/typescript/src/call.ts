// One open request: a span that is started, and ended whatever happens to the request.

import { type Attributes, type Context, context, INVALID_SPAN_CONTEXT, isSpanContextValid, type Link, ROOT_CONTEXT, type Span, type SpanContext, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";

import { beginning, Body } from "./body.js";
import { Given, MOST_BYTES } from "./given.js";
import { answerBody, type Ending, endingOf, isObject, isSuccess, type Json, member, requestBody, spanName, type Target, toolOf } from "./messages.js";
import type { Observer } from "./observer.js";
import type { Side } from "./open.js";
import { described } from "./raised.js";
import type { Sampling } from "./sampling.js";
import { semconv } from "./tables.js";

/** How many lines of progress one call has at most, and how many lines of any kind. */
const PROGRESS_LINES = 100;
const LINES = 10_000;
/** The most bytes that are kept of a line, and of a text that is no body. */
const LINE_BYTES = 64 * 1024;
const TEXT_BYTES = 64 * 1024;
/** How many exceptions of one call are recorded. */
const EXCEPTIONS = 32;
/** The longest text among the attributes with which a late answer is told. */
const SHORT = 256;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/;

const getter = { get: (from: Json, key: string) => from[key] as string | undefined, keys: (from: Json) => Object.keys(from) };

/** The same context with the baggage of the first of these that carries any (W3C Baggage). */
function withBaggage(around: Context, ...carriers: unknown[]): Context {
  const found = carriers.find((carrier) => isObject(carrier) && typeof carrier["baggage"] === "string");
  return isObject(found) ? new W3CBaggagePropagator().extract(around, found, getter) : around;
}

/** The span that a `traceparent` names. */
export function remote(carrier: unknown): SpanContext | undefined {
  if (!isObject(carrier) || typeof carrier["traceparent"] !== "string" || !TRACEPARENT.test(carrier["traceparent"].trim())) return undefined;
  const found = trace.getSpanContext(new W3CTraceContextPropagator().extract(ROOT_CONTEXT, carrier, getter));
  return found && isSpanContextValid(found) ? found : undefined;
}

export interface Beginning {
  kind: SpanKind;
  method: string;
  target: Target;
  attributes: Attributes;
  /** What the application adds when it begins; its code may change that. */
  said?: Attributes;
  /** Of the HTTP request. */
  headers?: Record<string, string> | undefined;
  id?: unknown;
  meta?: unknown;
  headerParent?: SpanContext | undefined;
  sampling?: Sampling | undefined;
}

type Part = "REQUEST" | "RESPONSE";

/** About how many bytes attributes take. */
function sizeOf(attributes: Attributes): number {
  let size = 0;
  for (const [name, value] of Object.entries(attributes)) {
    size += name.length;
    for (const one of Array.isArray(value) ? value : [value]) size += typeof one === "string" ? one.length : 8;
  }
  return size;
}

/** A value as attributes may be: what is none is written as JSON. */
function plain(value: unknown): Attributes[string] {
  if (["string", "number", "boolean"].includes(typeof value)) return value as string;
  const isList = Array.isArray(value) && value.every((one) => ["string", "number", "boolean"].includes(typeof one) && typeof one === typeof value[0]);
  if (isList) return value as string[];
  return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part)) ?? String(value);
}

export class Call {
  readonly side: Side;
  readonly id: unknown;
  /** Whether the body of an HTTP answer is still to come, in which its own answer will be. */
  isAwaited = false;
  /** Whether an answer came that may be its own or that of another with the same id. */
  isAmbiguous = false;
  readonly method: string;
  readonly target: Target;
  context: Context;
  readonly longLived: boolean;
  isOver = false;
  token: string | undefined;
  /** Whether the head of its HTTP answer is awaited, which has the status. */
  awaitsHead = false;
  #early: (() => void) | undefined;
  readonly #observer: Observer;
  readonly #bodies: boolean;
  #span: Span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
  readonly #sampling: Sampling | undefined;
  /** One that is not chosen has a record only if it fails. */
  #isChosen: boolean;
  readonly #begin: () => void;
  readonly #kind: SpanKind;
  readonly #name: string;
  readonly #at = Date.now();
  readonly #parent: SpanContext | undefined;
  #attributes: Attributes;
  #progress = 0;
  #lines = 0;
  #size = 0;
  #held = 0;
  /** The names of what the record says by itself. */
  readonly #own: Set<string>;
  readonly #given = new Given();
  readonly #told = new WeakSet<object>();
  #exceptions = 0;

  constructor(observer: Observer, { kind, method, target, attributes, said, headers, id, meta, headerParent, sampling }: Beginning) {
    [this.#observer, this.method, this.target, this.#kind] = [observer, method, target, kind];
    [this.id, this.side] = [id, kind === SpanKind.SERVER ? "client" : "server"];
    this.#bodies = observer.capture.bodiesOf(toolOf(target));
    this.longLived = method === "subscriptions/listen";
    const ambient = context.active();
    const around = trace.getSpanContext(ambient);
    let parent = ambient;
    let links: Link[] = around ? [{ context: around }] : [];
    if (kind === SpanKind.CLIENT) {
      // The server's own request. It is linked to the call that it was made in, and not below it: what is below a request of the
      // same service counts as a step of that.
      parent = ROOT_CONTEXT;
    } else {
      // A context in `_meta` is the parent, and what is current becomes a link, as the conventions for MCP say.
      const sent = remote(meta);
      if (!sent) links = [];
      this.#parent = sent ?? around ?? headerParent;
      parent = withBaggage(ambient, meta, headers);
      if (this.#parent && this.#parent !== around) parent = trace.setSpanContext(parent, this.#parent);
    }
    this.#name = this.#shown(spanName(method, target));
    this.#own = new Set(Object.keys(attributes));
    this.#attributes = this.#redacted({ ...attributes, ...said });
    // One of the server's own is in its call, and what it asks of others is below that.
    const within = kind === SpanKind.CLIENT ? ambient : parent;
    [this.context, this.#sampling] = [within, sampling];
    this.#begin = () => {
      this.#span = observer.telemetry.start(this.#name, kind, this.#attributes, links, parent, this.#at);
      this.context = trace.setSpan(within, this.#span);
      if (this.#isRecording) this.#holdBytes(sizeOf(this.#attributes), true);
    };
    this.#isChosen = sampling?.takesNext() ?? true;
    if (!this.#isChosen) return;
    this.#begin();
    if (this.#isRecording) observer.running.add(this);
  }

  /** Sees to it that a failure is recorded, and that a success says for how many it stands. */
  #weigh(ending: Ending): void {
    if (!this.#sampling) return;
    if (!isSuccess(ending)) {
      if (!this.#isChosen) this.#begin();
      this.#isChosen = true;
    } else if (this.#isChosen) this.set({ [semconv.WEIGHT]: this.#sampling.weight() });
    else this.#sampling.skip();
  }

  get #isRecording(): boolean {
    return this.#span.isRecording();
  }

  /** Whether the status of its HTTP answer is known. */
  get hasStatus(): boolean {
    return semconv.HTTP_RESPONSE_STATUS_CODE in this.#attributes;
  }

  get spanId(): string {
    return this.#span.spanContext().spanId;
  }

  get observer(): Observer {
    return this.#observer;
  }

  #shown(text: string): string {
    return beginning(text, TEXT_BYTES, this.#observer.capture.redactor);
  }

  #redacted(attributes: Attributes): Attributes {
    const { redactor } = this.#observer.capture;
    const given = Object.entries(attributes).filter(([, value]) => value !== undefined).map(([name, value]) => [name, plain(value)]);
    const redacted: Attributes = redactor.value(Object.fromEntries(given));
    return Object.fromEntries(
      Object.entries(redacted).map(([name, value]) => [name, typeof value === "string" && value.length > TEXT_BYTES / 4 ? this.#shown(value) : value]),
    );
  }

  /** Takes so many bytes of what open calls may hold together, until it ends. Whether there was room. */
  #holdBytes(size: number, isForced = false): boolean {
    if (!this.#observer.openBytes.take(size, isForced)) {
      this.#observer.full();
      return false;
    }
    this.#held += size;
    return true;
  }

  #release(): void {
    this.#observer.openBytes.give(this.#held);
    this.#held = 0;
  }

  /** Adds what became known meanwhile. */
  set(attributes: Attributes): void {
    for (const name of Object.keys(attributes)) this.#own.add(name);
    if (!this.#isRecording && this.#isChosen) return;
    const redacted = this.#redacted(attributes);
    if (!this.#isChosen) {
      Object.assign(this.#attributes, redacted);
      return;
    }
    if (!this.#holdBytes(sizeOf(redacted))) return;
    Object.assign(this.#attributes, redacted);
    this.#span.setAttributes(redacted);
  }

  /** Adds what the application's code says. */
  give(name: string, given: unknown): void {
    if (this.isOver) {
      this.#observer.tooLate();
      return;
    }
    if (given === undefined || (this.#isChosen && !this.#isRecording)) return;
    const value = plain(given);
    const size = sizeOf({ [name]: value });
    const more = this.#given.more(size);
    if (size > MOST_BYTES || !this.#holdBytes(more)) {
      this.#given.drop(name);
      return;
    }
    for (const [shown, redacted] of Object.entries(this.#redacted({ [name]: value }))) if (redacted !== undefined) this.#given.put(shown, redacted, size);
  }

  /** Records an exception, once however many handlers it passes. */
  raised(error: unknown): void {
    if (this.isOver || !this.#isRecording || this.#exceptions >= EXCEPTIONS) return;
    if (typeof error === "object" && error !== null) {
      if (this.#told.has(error)) return;
      this.#told.add(error);
    }
    this.#exceptions += 1;
    const [at, said, { courier }] = [Date.now(), described(error, this.#bodies), this.#observer.telemetry];
    const size = sizeOf(said);
    const add = () => {
      this.#span.addEvent("exception", Object.fromEntries(Object.entries(said).map(([name, text]) => [name, this.#shown(text)])), at);
    };
    if (courier.room(size) && this.#holdBytes(size) && courier.later(add, size)) this.#size += size;
  }

  holdRequest(message: Json): void {
    if (this.#bodies && this.#isRecording) this.#hold(Body.of(requestBody(message), this.#observer.capture.bodyCap), "REQUEST");
  }

  /** A body that is no message, of which so many bytes are shown. */
  holdText(text: string, part: Part, most: number): void {
    const size = Buffer.byteLength(text);
    if (this.#bodies && this.#isRecording && size > 0) this.#hold(Body.ofText(text, size, Math.min(most, this.#observer.capture.bodyCap)), part);
  }

  #hold(body: Body, part: Part): void {
    const { courier } = this.#observer.telemetry;
    const [text, size, truncated] = [semconv[`${part}_BODY`], semconv[`${part}_SIZE`], semconv[`${part}_TRUNCATED`]];
    const set = () => {
      const attributes = { [text]: body.redacted(this.#observer.capture.redactor), [size]: body.size, [truncated]: body.isCut };
      Object.assign(this.#attributes, attributes);
      this.#span.setAttributes(attributes);
    };
    const held = body.text.length;
    if (courier.room(held) && this.#holdBytes(held) && courier.later(set, held)) this.#size += held;
    else this.#span.setAttributes({ [size]: body.size, [truncated]: true });
  }

  /** Writes a line of its console output. */
  log(severity: SeverityNumber, body: string, attributes: Attributes = {}): void {
    if (!this.#bodies || !this.#isRecording || this.#lines >= LINES) return;
    this.#lines += 1;
    const [at, { telemetry, capture: { redactor } }] = [Date.now(), this.#observer];
    const emit = () => telemetry.emit(this.#span.spanContext(), at, severity, beginning(body, LINE_BYTES, redactor), this.#redacted(attributes));
    telemetry.courier.later(emit, body.length + sizeOf(attributes));
  }

  /** The server tells how far it is. */
  progressed(params: unknown): void {
    this.#progress += 1;
    if (this.#progress > PROGRESS_LINES) return;
    const [total, message] = [member(params, "total"), member(params, "message")];
    const body = `progress ${member(params, "progress")}${total === undefined ? "" : ` of ${total}`}${typeof message === "string" ? `: ${message}` : ""}`;
    this.log(SeverityNumber.DEBUG, body);
  }

  /** Ends it with its answer, once the status is known. */
  answered(answer: Json): void {
    if (this.isOver) return;
    const ending = endingOf(this.method, answer);
    this.#weigh(ending);
    if (this.#bodies && this.#isRecording) this.#hold(Body.of(answerBody(answer), this.#observer.capture.bodyCap), "RESPONSE");
    this.#endWith(ending, this.awaitsHead);
  }

  /** Ends it without an answer. */
  end(ending: Ending): void {
    if (this.isOver) return;
    this.#weigh(ending);
    this.#endWith(ending, false);
  }

  /** The head of its HTTP answer has come. */
  headed(): void {
    this.awaitsHead = false;
    this.#early?.();
    this.#early = undefined;
  }

  #endWith({ attributes, error }: Ending, waits: boolean): void {
    this.isOver = true;
    this.#observer.running.ended(this);
    if (!this.#isRecording) {
      this.#release();
      return;
    }
    const at = Date.now();
    this.set(attributes);
    if (this.#progress > 0) this.set({ [semconv.PROGRESS_COUNT]: this.#progress });
    const given = this.#given.all(this.#own);
    Object.assign(this.#attributes, given);
    this.#span.setAttributes(given);
    const { telemetry } = this.#observer;
    const finish = () => {
      if (error !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, ...(error ? { message: this.#shown(error) } : {}) });
      this.#release();
      telemetry.end(this.#span, at, this.#size + sizeOf(this.#attributes));
    };
    const leave = () => {
      if (telemetry.courier.later(finish, error?.length)) return;
      // There is no room to redact what was said; the rest of the record is as it should be.
      this.#release();
      if (error !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR });
      this.#span.end(at);
    };
    if (waits) this.#early = leave;
    else leave();
  }

  /** Tells of it by log records with the ids of its span. Keeps nothing of it but those. */
  #teller(): (attributes: Attributes) => void {
    const kind = this.#kind === SpanKind.CLIENT ? 3 : 2;
    const parent = this.#parent ? { [semconv.SPAN_PARENT]: this.#parent.spanId } : {};
    const [telemetry, span, at, name] = [this.#observer.telemetry, this.#span.spanContext(), this.#at, this.#name];
    return (attributes) => telemetry.emit(span, at, SeverityNumber.DEBUG, name, { ...attributes, [semconv.SPAN_KIND]: kind, ...parent }, semconv.CALL_RUNNING);
  }

  /** Tells that it runs, by a log record with the ids and attributes of its span. */
  announce(): void {
    this.#observer.telemetry.courier.later(() => { if (!this.isOver) this.#teller()({ ...this.#attributes, ...this.#given.all(this.#own) }); }, this.#size);
  }

  /** What is remembered of it once it is given up, without its long attributes. */
  late(): Late {
    const short = Object.fromEntries(
      Object.entries(this.#attributes).filter(([, value]) => !Array.isArray(value) && !(typeof value === "string" && value.length > SHORT)),
    );
    const { telemetry } = this.#observer;
    const [span, hasLines] = [this.#span.spanContext(), this.#bodies && this.#isRecording];
    const told = this.#teller();
    const tell = () => {
      const at = Date.now();
      const said = "the answer came after the request was cancelled";
      if (hasLines) telemetry.courier.later(() => telemetry.emit(span, at, SeverityNumber.WARN, said, {}));
      telemetry.courier.later(() => told({ ...short, [semconv.LATE]: true }));
    };
    return { tell };
  }

  /** Says that its process lives, and which announced requests ended a while ago. */
  beat(ended: string[]): void {
    const { telemetry } = this.#observer;
    const at = Date.now();
    telemetry.courier.later(() => telemetry.emit(undefined, at, SeverityNumber.DEBUG, "", ended.length > 0 ? { [semconv.ENDED]: ended } : {}, semconv.HEARTBEAT));
  }
}

/** A call that was given up, for the answer that may still come. */
export interface Late {
  /** Tells that an answer came. */
  tell(): void;
}
