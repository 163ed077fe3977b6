import { createStore } from "./store";

/** A name for an address: a filter, and what else the address of the list holds. */
export interface View {
  name: string;
  /** The part of the address after the question mark. */
  query: string;
}

const place = "mcptap.views";

function stored(): View[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(place) ?? "[]");
    return Array.isArray(found) ? found.filter(isView) : [];
  } catch {
    return [];
  }
}

function isView(value: unknown): value is View {
  const view = value as Partial<View> | null;
  return typeof view?.name === "string" && typeof view.query === "string";
}

function keep(views: View[]): void {
  savedViews.set(views);
  try {
    localStorage.setItem(place, JSON.stringify(views));
  } catch {
    // then they hold until the page is left
  }
}

/** The views of this browser, by name. */
export const savedViews = createStore<View[]>(stored());

/** Saves a view; one of the same name is replaced. */
export function saveView(view: View): void {
  const others = savedViews.get().filter((other) => other.name !== view.name);
  keep([...others, view].sort((a, b) => a.name.localeCompare(b.name)));
}

export function removeView(name: string): void {
  keep(savedViews.get().filter((view) => view.name !== name));
}
