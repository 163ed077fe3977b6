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

/** The key that is sent with every question, and whether the API has refused to answer without a better one. */
export const keyStore = createStore<{ key: string | null; refused: boolean; attempt: number }>({
  key: stored(),
  refused: false,
  attempt: 0,
});

export function currentKey(): string | null {
  return keyStore.get().key;
}

/** The API said no: the page asks for a key. */
export function refuseKey(): void {
  if (!keyStore.get().refused) keyStore.set({ ...keyStore.get(), refused: true });
}

/** Takes another key, and everything is asked again. */
export function signIn(key: string): void {
  try {
    sessionStorage.setItem(place, key);
  } catch {
    // without storage the key lasts until the page is left
  }
  keyStore.set({ key, refused: false, attempt: keyStore.get().attempt + 1 });
}

export function signOut(): void {
  try {
    sessionStorage.removeItem(place);
  } catch {
    // then there is nothing to forget
  }
  keyStore.set({ key: null, refused: false, attempt: keyStore.get().attempt + 1 });
}
