import { type FormEvent, useState } from "react";
import { Button, Checkbox, Input, Label, TextField } from "react-aria-components";
import type { ViewInput } from "../gql/graphql";
import { explain } from "../state/api";
import { may, type Viewer } from "../state/viewer";
import { saveView, type View } from "../state/views";
import { Icon } from "./icon";
import { notice } from "./notice";

interface Props {
  viewer: Viewer;
  /** Views that a new one of the same name replaces: the reader's own, and everybody's. */
  mine: readonly View[];
  everybodys: readonly View[];
  live: boolean;
  shown: Omit<ViewInput, "name">;
  onSaved: () => void;
}

/** Saves what the list shows under a name, and says what of it a view does not keep. */
export function SaveViewForm({ viewer, mine, everybodys, live, shown, onSaved }: Props) {
  const [name, setName] = useState("");
  const [forEverybody, setForEverybody] = useState(false);
  const [problem, setProblem] = useState("");
  const [saving, setSaving] = useState(false);
  const wanted = name.trim();
  const replaced = (forEverybody ? everybodys : mine).find((view) => view.name === wanted);
  const save = async (event: FormEvent) => {
    event.preventDefault();
    if (!wanted || saving) return;
    setSaving(true);
    const refusal = await saveView({ ...shown, name: wanted }, forEverybody, replaced?.id).catch(
      (error: unknown) => explain(error) || "mcptap does not answer",
    );
    setSaving(false);
    if (refusal === undefined) {
      notice(replaced ? `${wanted} is updated` : `Saved as ${wanted}`);
      onSaved();
    } else setProblem(refusal);
  };
  return (
    <form onSubmit={save} aria-label="Save a view">
      <TextField value={name} onChange={setName} className="field" isInvalid={problem !== ""}>
        <Label>Save this view as</Label>
        <Input />
      </TextField>
      {problem && (
        <p role="alert" className="field-error">
          {problem}
        </p>
      )}
      {viewer.keysExist && may(viewer, "ADMIN") && (
        <Checkbox className="check" isSelected={forEverybody} onChange={setForEverybody}>
          <span className="tick" aria-hidden="true">
            <Icon name="check" />
          </span>
          For everybody
        </Checkbox>
      )}
      <p className="hint">
        A view keeps the filters, the time range and the columns under a name.
        {live && " Live is not saved."}
      </p>
      <Button type="submit" className="primary" isDisabled={!wanted || saving}>
        {replaced ? "Replace" : "Save"}
      </Button>
    </form>
  );
}
