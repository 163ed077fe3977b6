import { type FormEvent, useState } from "react";
import { Button, Dialog, DialogTrigger, Input, Label, Popover, TextField } from "react-aria-components";
import { Link } from "wouter";
import { useStore } from "../state/store";
import { removeView, savedViews, saveView } from "../state/views";
import { Icon } from "./icon";
import { notice } from "./notice";

/** Saved views: addresses with names. */
export function ViewsMenu({ path, query }: { path: string; query: string }) {
  const views = useStore(savedViews);
  return (
    <DialogTrigger>
      <Button className="filter">
        <Icon name="star" />
        Views
        <Icon name="down" />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog aria-label="Saved views" className="menu fields">
          {({ close }) => (
            <>
              {views.length === 0 && (
                <p className="hint">No views yet. A view keeps the filters and the switch Live.</p>
              )}
              <ul className="views">
                {views.map((view) => (
                  <li key={view.name}>
                    <Link href={view.query ? `/?${view.query}` : "/"} onClick={close}>
                      {view.name}
                    </Link>
                    <Button
                      className="plain icon-only"
                      aria-label={`Remove the view ${view.name}`}
                      onPress={() => {
                        removeView(view.name);
                        notice(`The view ${view.name} is removed`);
                      }}
                    >
                      <Icon name="close" />
                    </Button>
                  </li>
                ))}
              </ul>
              {path === "/" && (
                <SaveForm
                  onSave={(name) => {
                    saveView({ name, query });
                    notice(`Saved as ${name}`);
                    close();
                  }}
                />
              )}
            </>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

function SaveForm({ onSave }: { onSave: (name: string) => void }) {
  const [name, setName] = useState("");
  const save = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) onSave(name.trim());
  };
  return (
    <form onSubmit={save}>
      <TextField value={name} onChange={setName} className="field" maxLength={80}>
        <Label>Save this view as</Label>
        <Input />
      </TextField>
      <Button type="submit" className="primary" isDisabled={!name.trim()}>
        Save
      </Button>
    </form>
  );
}
