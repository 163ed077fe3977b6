import { expect, test } from "vitest";
import type { Viewer } from "../../src/state/viewer";
import {
  isLive,
  mayChange,
  maySave,
  readLocalViews,
  toViewInput,
  type View,
  whose,
} from "../../src/state/views";

const view = (ownerId: string | null): View => ({
  id: "1",
  name: "v",
  filter: {},
  lastSeconds: null,
  columns: [],
  ownerId,
});
const viewer = (id: string | null, scopes: Viewer["scopes"], keysExist = true): Viewer => ({
  key: id === null ? null : { id, name: "k", expiresAt: null },
  keysExist,
  scopes,
  servers: [],
});

test("whose a view is, and who may change it", () => {
  const reader = viewer("7", ["READ"]);
  expect([null, "7", "8"].map((owner) => whose(view(owner), reader))).toEqual([
    "everybody",
    "mine",
    "another",
  ]);
  expect([null, "7", "8"].map((owner) => mayChange(view(owner), reader))).toEqual([false, true, false]);
  const admin = viewer("9", ["ADMIN"]);
  expect([null, "7"].map((owner) => mayChange(view(owner), admin))).toEqual([true, true]);
  // without keys there is nobody to tell apart; only the machine itself changes something
  expect(whose(view(null), viewer(null, ["READ"], false))).toBeUndefined();
  expect(mayChange(view(null), viewer(null, ["READ", "ADMIN"], false))).toBe(true);
  expect(mayChange(view(null), viewer(null, ["READ"], false))).toBe(false);
});

test("any key saves views; without keys only the machine itself does", () => {
  expect(maySave(viewer("7", ["READ"]))).toBe(true);
  expect(maySave(viewer(null, ["READ", "ADMIN"], false))).toBe(true);
  expect(maySave(viewer(null, ["READ"], false))).toBe(false);
});

test("views of this browser are read whatever lies there, and become views of the API", () => {
  const kept = { name: "Errors", query: "outcome=TOOL_ERROR&range=1h&live=1" };
  expect(readLocalViews(JSON.stringify([kept, { name: 1 }, null]))).toEqual([kept]);
  for (const broken of [null, "", "{", "{}", "7"]) expect(readLocalViews(broken)).toEqual([]);
  expect(toViewInput(kept)).toEqual({
    name: "Errors",
    filter: { outcomes: ["TOOL_ERROR"] },
    lastSeconds: 3600,
  });
  const moment = { name: "Since", query: "from=2026-11-24T10:00:00Z" };
  expect(toViewInput(moment)).toEqual({
    name: "Since",
    filter: { from: "2026-11-24T10:00:00Z" },
    lastSeconds: null,
  });
  // all of it is kept but the switch Live
  const queries = [kept.query, moment.query, "range=1h&live=0", ""];
  expect(queries.map((query) => isLive({ name: "", query }))).toEqual([true, false, false, false]);
});
