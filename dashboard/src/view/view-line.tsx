import { type FormEvent, useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import { Link } from "wouter";
import type { ViewInput } from "../gql/graphql";
import { explain } from "../state/api";
import { useColumns, usePlace } from "../state/place";
import { readColumns } from "../state/settings";
import { fromViewFilter, sameFilter, viewAddress } from "../state/view-filter";
import type { Viewer } from "../state/viewer";
import { deleteView, mayChange, type Refusal, saveView, type View, whose } from "../state/views";
import { visible } from "../state/words";
import { Icon } from "./icon";
import { notice } from "./notice";

const whoseWords = { everybody: "Shared", mine: "Yours", another: "Another key's" } as const;

interface Props {
  view: View;
  viewer: Viewer;
  /** What the list shows now. */
  shown: Omit<ViewInput, "name">;
  onChanged: () => void;
  close: () => void;
}

/** One view: a link that opens it, whose it is, and what its owner can do with it. */
export function ViewLine({ view, viewer, shown, onChanged, close }: Props) {
  const [editing, setEditing] = useState(false);
  const { used } = usePlace();
  const { columns } = useColumns();
  const filter = fromViewFilter(view);
  const owner = whose(view, viewer);
  const wanted = readColumns(view.columns)?.join();
  // columns that the list has already need no other words in the address than it has
  const inAddress = wanted === columns.join() ? (used.get("columns") ?? undefined) : wanted;
  return (
    <li>
      <div className="view-line">
        {filter ? (
          <Link
            href={viewAddress(filter, inAddress, used)}
            aria-current={sameFilter(view, shown) ? "true" : undefined}
            onClick={close}
          >
            {visible(view.name)}
          </Link>
        ) : (
          <span>
            {visible(view.name)}
            <span className="hint">
              {" "}
              was saved by another client, with filters that this page cannot show
            </span>
          </span>
        )}
        <span className="space" />
        {owner && <span className="chip plain">{whoseWords[owner]}</span>}
        {mayChange(view, viewer) && (
          <Button
            className="plain icon-only"
            aria-label={`Change the view ${visible(view.name)}`}
            aria-expanded={editing}
            onPress={() => setEditing(!editing)}
          >
            <Icon name="edit" />
          </Button>
        )}
      </div>
      {editing && (
        <ViewEditor
          view={view}
          shown={shown}
          forEverybody={owner === "everybody"}
          onDone={(words) => {
            notice(words);
            setEditing(false);
            onChanged();
          }}
        />
      )}
    </li>
  );
}

interface EditorProps {
  view: View;
  shown: Omit<ViewInput, "name">;
  forEverybody: boolean;
  onDone: (words: string) => void;
}

/** Another name, other filters, or an end of it. */
function ViewEditor({ view, shown, forEverybody, onDone }: EditorProps) {
  const [name, setName] = useState(view.name);
  const [problem, setProblem] = useState("");
  const [removing, setRemoving] = useState(false);
  const change = async (run: Promise<Refusal>, words: string) => {
    const refusal = await run.catch((error: unknown) => explain(error) || "mcptap does not answer");
    if (refusal === undefined) onDone(words);
    else setProblem(refusal);
  };
  const rename = (event: FormEvent) => {
    event.preventDefault();
    const { filter, lastSeconds, columns } = view;
    const input = { name, filter, lastSeconds, columns };
    void change(saveView(input, false, view.id), `Renamed to ${name.trim()}`);
  };
  return (
    <form className="view-editor" onSubmit={rename} aria-label={`The view ${visible(view.name)}`}>
      <TextField value={name} onChange={setName} className="field" autoFocus>
        <Label>Name</Label>
        <Input />
      </TextField>
      <div className="presets">
        <Button type="submit" className="small" isDisabled={name.trim() === view.name || !name.trim()}>
          Rename
        </Button>
        <Button
          className="small"
          onPress={() =>
            change(
              saveView({ ...shown, name: view.name }, false, view.id),
              `${visible(view.name)} is updated`,
            )
          }
        >
          Update to current filters
        </Button>
        <Button className="small" aria-expanded={removing} onPress={() => setRemoving(!removing)}>
          Remove
        </Button>
      </div>
      {removing && (
        <div className="sure" role="group" aria-label={`Remove the view ${visible(view.name)}`}>
          <span>{forEverybody ? "Remove it for everybody?" : "Remove it for good?"}</span>
          <Button
            className="small danger"
            onPress={() => change(deleteView(view.id), `The view ${visible(view.name)} is removed`)}
          >
            Remove {visible(view.name)}
          </Button>
          <Button className="small" onPress={() => setRemoving(false)}>
            Cancel
          </Button>
        </div>
      )}
      {problem && (
        <p role="alert" className="field-error">
          {problem}
        </p>
      )}
    </form>
  );
}
