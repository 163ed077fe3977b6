import type { ReactNode } from "react";
import { Link } from "wouter";
import { Skeleton } from "./skeleton";

export interface Rank {
  key: string;
  words: ReactNode;
  /** The words in full: long ones are cut. */
  title?: string;
  /** The length of the bar, from 0 to 1. */
  share: number;
  value: string;
  href: string;
  tone?: "bad" | "warn" | "good" | "plain";
}

/** How many ranks are shown. */
export const longestRanking = 8;

/** A short list of what is most, each with a bar and a link to its calls. */
export function Ranking({
  title,
  ranks,
  none,
  failed,
  order,
}: {
  title: string;
  ranks: readonly Rank[] | undefined;
  none: string;
  /** Whether the question for them failed. */
  failed: boolean;
  /** By what they are ordered, where the values do not say it. */
  order?: string;
}) {
  return (
    <section className="card" aria-label={title}>
      <h2>{title}</h2>
      {order && ranks && ranks.length > 0 && <p className="hint">{order}</p>}
      {ranks === undefined ? (
        <Skeleton lines={5} failed={failed} />
      ) : ranks.length === 0 ? (
        <p className="hint">{none}</p>
      ) : (
        <ol className="ranking">
          {ranks
            .slice(0, longestRanking)
            .map(({ key, words, title: whole, share, value, href, tone = "plain" }) => (
              <li key={key}>
                <Link href={href} title={whole}>
                  <span
                    className={`rank-bar ${tone}`}
                    style={{ width: `${Math.max(1, share * 100)}%` }}
                    aria-hidden="true"
                  />
                  <span className="rank-words">{words}</span>
                  <span className="rank-value">{value}</span>
                </Link>
              </li>
            ))}
        </ol>
      )}
      {ranks && ranks.length > longestRanking && (
        <p className="hint">Top {longestRanking}; there are more.</p>
      )}
    </section>
  );
}
