import {
  DeleteViewDocument,
  type SavedViewFragment,
  SaveViewDocument,
  UpdateViewDocument,
  type ViewInput,
} from "../gql/graphql";
import { readAddress } from "./address";
import { ask } from "./api";
import { readFilter } from "./parameters";
import { createStore } from "./store";
import { toViewFilter } from "./view-filter";
import { may, type Viewer } from "./viewer";

export type View = SavedViewFragment;

/** Why a view was not saved, in the API's words. */
export type Refusal = string | undefined;

/** Saves a view, or changes the one with the id. Says why not where the API refuses. */
export async function saveView(input: ViewInput, shared: boolean, id?: string): Promise<Refusal> {
  if (id !== undefined) {
    const { updateView } = await ask(UpdateViewDocument, { id, input });
    return "message" in updateView ? updateView.message : undefined;
  }
  const { saveView: saved } = await ask(SaveViewDocument, { input, shared });
  return "message" in saved ? saved.message : undefined;
}

export async function deleteView(id: string): Promise<Refusal> {
  const answer = (await ask(DeleteViewDocument, { id })).deleteView;
  return "message" in answer ? answer.message : undefined;
}

/** Whose a view is, for the reader. Without keys there is nobody to tell apart. */
export type Whose = "everybody" | "mine" | "another" | undefined;

export function whose(view: View, viewer: Viewer): Whose {
  if (!viewer.keysExist) return undefined;
  if (view.ownerId === null) return "everybody";
  return view.ownerId === viewer.key?.id ? "mine" : "another";
}

export function mayChange(view: View, viewer: Viewer): boolean {
  return may(viewer, "ADMIN") || whose(view, viewer) === "mine";
}

/** Whether the reader may save views at all: with any key, or where no key exists on the machine itself. */
export function maySave(viewer: Viewer): boolean {
  return viewer.key !== null || may(viewer, "ADMIN");
}

/** A view that an earlier version kept in this browser: a name for an address. */
export interface LocalView {
  name: string;
  /** The part of the address after the question mark. */
  query: string;
}

const place = "mcptap.views";

export function readLocalViews(text: string | null): LocalView[] {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? found.filter(isLocalView) : [];
  } catch {
    return [];
  }
}

function isLocalView(value: unknown): value is LocalView {
  const view = value as Partial<LocalView> | null;
  return typeof view?.name === "string" && typeof view.query === "string";
}

function stored(): LocalView[] {
  try {
    return readLocalViews(localStorage.getItem(place));
  } catch {
    return [];
  }
}

/** What is still in this browser. */
export const localViews = createStore<readonly LocalView[]>(stored());

export function forgetLocalView(name: string): void {
  keepLocalViews(localViews.get().filter((view) => view.name !== name));
}

export function keepLocalViews(rest: readonly LocalView[]): void {
  localViews.set(rest);
  try {
    if (rest.length === 0) localStorage.removeItem(place);
    else localStorage.setItem(place, JSON.stringify(rest));
  } catch {
    // then it comes back with the next visit
  }
}

/** A view of this browser as the API keeps it. */
export function toViewInput({ name, query }: LocalView): ViewInput {
  return { name, ...toViewFilter(readFilter(new URLSearchParams(query))) };
}

/** Whether a view of this browser holds the switch Live on, which the API does not keep. */
export function isLive({ query }: LocalView): boolean {
  return readAddress("/", new URLSearchParams(query)).used.has("live");
}
