import { type PointerEvent, useEffect, useRef, useState } from "react";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { absolute, count, duration, many, shortly } from "../state/words";

export interface Bucket {
  start: string;
  callCount: number;
  errorCount: number;
  p50Ms?: number | null | undefined;
  p95Ms?: number | null | undefined;
  p99Ms?: number | null | undefined;
}

interface Props {
  series: readonly Bucket[];
  /** The end of the last bucket. */
  to: string;
  kind: "calls" | "latency";
  label: string;
  height?: number;
  /** A stretch was marked: its first moment, and the first after it where that is known. */
  onBrush: (from: string, to: string | undefined) => void;
}

const bottom = 20;
const top = 6;
/** About how wide a time at the axis is, with what parts it from the next, in pixels for each character. */
const labelWidth = 8;

function useWidth() {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.max(200, element.clientWidth)));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  return { box, width };
}

/** A round number at or above the largest value. Half of it is on the axis too: of calls there are no halves. */
function ceiling(value: number, kind: Props["kind"]): number {
  if (value <= 0) return kind === "calls" ? 2 : 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = kind === "calls" ? [2, 4, 6, 10] : [1, 2, 2.5, 5, 10];
  return steps.map((step) => step * power).find((step) => step >= value) ?? value;
}

/** Calls and errors, or percentiles of durations, over time. Dragging over it marks a stretch of time. */
export function Chart({ series, to, kind, label, height = 180, onBrush }: Props) {
  const { zone } = useStore(settings);
  const { box, width } = useWidth();
  const [brush, setBrush] = useState<[number, number]>();
  const [at, setAt] = useState<number>();

  const most = Math.max(
    ...series.map((bucket) => (kind === "calls" ? bucket.callCount : (bucket.p99Ms ?? 0))),
  );
  const max = ceiling(most, kind);
  // durations have the longer labels, such as "16 min 40 s"
  const left = kind === "calls" ? 46 : 74;
  const plot = height - bottom - top;
  const wide = (width - left) / series.length;
  const x = (index: number) => left + index * wide;
  const y = (value: number) => top + plot * (1 - value / max);

  const indexAt = (event: PointerEvent<SVGSVGElement>) => {
    const { left: edge } = event.currentTarget.getBoundingClientRect();
    return Math.min(series.length - 1, Math.max(0, Math.floor((event.clientX - edge - left) / wide)));
  };
  const end = () => {
    if (!brush) return;
    const [one, other] = [Math.min(...brush), Math.max(...brush)];
    setBrush(undefined);
    const from = series[one]?.start;
    // the last call stands at the very end of the last bucket, so that has no end
    const after = series[other + 1]?.start;
    if (from) onBrush(from, after);
  };
  const shown = at === undefined ? undefined : series[at];
  // where the last bucket ends none begins
  const times = shortly(
    [0, 0.5, 1].map((share) => series[Math.floor(series.length * share)]?.start ?? to),
    zone,
  );

  return (
    <figure className="chart" ref={box}>
      <svg
        width={width}
        height={height}
        role="img"
        aria-label={label}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          const index = indexAt(event);
          setBrush([index, index]);
        }}
        onPointerMove={(event) => {
          const index = indexAt(event);
          setAt(index);
          if (brush) setBrush([brush[0], index]);
        }}
        onPointerUp={end}
        onPointerCancel={() => setBrush(undefined)}
        onPointerLeave={() => !brush && setAt(undefined)}
      >
        {[0, 0.5, 1].map((share) => (
          <g key={share}>
            <line className="grid" x1={left} x2={width} y1={y(max * share)} y2={y(max * share)} />
            <text className="axis" x={left - 6} y={y(max * share) + 4} textAnchor="end">
              {kind === "calls" ? count(max * share) : duration(max * share)}
            </text>
          </g>
        ))}
        {kind === "calls" ? (
          series.map((bucket, index) => (
            <g key={bucket.start}>
              <rect
                className="bar"
                x={x(index) + 0.5}
                y={y(bucket.callCount)}
                width={Math.max(1, wide - 1)}
                height={plot * (bucket.callCount / max)}
              />
              <rect
                className="bar errors"
                x={x(index) + 0.5}
                y={y(bucket.errorCount)}
                width={Math.max(1, wide - 1)}
                height={plot * (bucket.errorCount / max)}
              />
            </g>
          ))
        ) : (
          <>
            <Curve name="p99" series={series} of={(bucket) => bucket.p99Ms} x={x} y={y} wide={wide} />
            <Curve name="p95" series={series} of={(bucket) => bucket.p95Ms} x={x} y={y} wide={wide} />
            <Curve name="p50" series={series} of={(bucket) => bucket.p50Ms} x={x} y={y} wide={wide} />
          </>
        )}
        {at !== undefined && (
          <line className="cursor" x1={x(at) + wide / 2} x2={x(at) + wide / 2} y1={top} y2={top + plot} />
        )}
        {brush && (
          <rect
            className="brush"
            x={x(Math.min(...brush))}
            y={top}
            width={(Math.abs(brush[1] - brush[0]) + 1) * wide}
            height={plot}
          />
        )}
        {[0, 0.5, 1].map((share) => {
          const words = times[share * 2] ?? "";
          // three do not fit beside one another on a phone
          if (series.length === 0 || (share === 0.5 && width - left < 3 * labelWidth * words.length))
            return null;
          const index = Math.floor(series.length * share);
          return (
            <text
              key={share}
              className="axis"
              x={x(index)}
              y={height - 4}
              textAnchor={share === 0 ? "start" : share === 1 ? "end" : "middle"}
            >
              {words}
            </text>
          );
        })}
      </svg>
      <figcaption>
        {shown ? (
          <span>
            {absolute(shown.start, zone, "short")}: {many(shown.callCount, "call")},{" "}
            {many(shown.errorCount, "error")}
            {shown.p95Ms != null &&
              `, p50 ${duration(shown.p50Ms ?? 0)}, p95 ${duration(shown.p95Ms)}, p99 ${duration(shown.p99Ms ?? 0)}`}
          </span>
        ) : (
          <Legend kind={kind} />
        )}
      </figcaption>
    </figure>
  );
}

function Legend({ kind }: { kind: Props["kind"] }) {
  const names = kind === "calls" ? ["calls", "errors"] : ["p50", "p95", "p99"];
  return (
    <>
      {names.map((name) => (
        <span key={name} className="key">
          <span className={`swatch ${name}`} aria-hidden="true" />
          {name}
        </span>
      ))}
      <span className="quiet wide-only">Drag to filter by time.</span>
    </>
  );
}

interface CurveProps {
  name: string;
  series: readonly Bucket[];
  of: (bucket: Bucket) => number | null | undefined;
  x: (index: number) => number;
  y: (value: number) => number;
  wide: number;
}

/** A line with a gap where there were no calls, and a dot where there is one value between two gaps. */
function Curve({ name, series, of, x, y, wide }: CurveProps) {
  let path = "";
  const dots: number[] = [];
  for (const [index, bucket] of series.entries()) {
    const value = of(bucket);
    if (value == null) continue;
    const before = series[index - 1];
    const after = series[index + 1];
    const joined = before !== undefined && of(before) != null;
    path += `${joined ? "L" : "M"}${(x(index) + wide / 2).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!joined && (!after || of(after) == null)) dots.push(index);
  }
  return (
    <>
      <path className={`curve ${name}`} d={path} />
      {dots.map((index) => {
        const bucket = series[index];
        return (
          <circle
            key={index}
            className={`curve-dot ${name}`}
            cx={x(index) + wide / 2}
            cy={y((bucket && of(bucket)) ?? 0)}
            r={2}
          />
        );
      })}
    </>
  );
}
