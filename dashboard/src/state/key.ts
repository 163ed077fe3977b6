import { createStore } from "./store";

// Only for this tab and this visit: a key must not outlive the person who typed it.
const place = "mcptap.key";

function stored(): string | null {
  try {
    return sessionStorage.getItem(place);
  } catch {
    return null;
  }
}

interface KeyState {
  key: string | null;
  /** Whether the API has refused to answer without a better key. */
  refused: boolean;
  /** What the API said to that. */
  why: string;
  attempt: number;
}

/** The key that is sent with every question. */
export const keyStore = createStore<KeyState>({ key: stored(), refused: false, why: "", attempt: 0 });

export function currentKey(): string | null {
  return keyStore.get().key;
}

/** The API said no to a key, or to having none: the page asks for one. */
export function refuseKey(asked: string | null, why = ""): void {
  const now = keyStore.get();
  // an answer to a question from before the sign-in says nothing of the key there is now
  if (!now.refused && now.key === asked) keyStore.set({ ...now, refused: true, why });
}

/** A key as it was pasted: documentation shows it inside a header, and quotes come along from a shell. */
export function readKey(pasted: string): string {
  const bare = (text: string) => text.trim().replace(/^["']+|["',;]+$/g, "");
  return bare(bare(pasted).replace(/^(?:(?:authorization|x-api-key)\s*[:=]\s*)?(?:bearer(?:\s+|$))?/i, ""));
}

/** Takes another key, and everything is asked again. */
export function signIn(key: string): void {
  try {
    sessionStorage.setItem(place, key);
  } catch {
    // without storage the key lasts until the page is left
  }
  keyStore.set({ key, refused: false, why: "", attempt: keyStore.get().attempt + 1 });
}

export function signOut(): void {
  try {
    sessionStorage.removeItem(place);
  } catch {
    // then there is nothing to forget
  }
  keyStore.set({ key: null, refused: false, why: "", attempt: keyStore.get().attempt + 1 });
}
