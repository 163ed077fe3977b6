import { useState } from "react";
import {
  Button,
  ComboBox,
  FieldError,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Tag,
  TagGroup,
  TagList,
  Text,
} from "react-aria-components";
import { ServersDocument } from "../gql/graphql";
import { useAsk } from "../state/asking";
import { visible } from "../state/words";
import { Icon } from "./icon";

interface Props {
  chosen: readonly string[];
  onChange: (servers: readonly string[]) => void;
  /** Whether the key is over all servers whatever is chosen. */
  forAll: boolean;
  /** Whether known servers can be offered. */
  offer: boolean;
  problem: string | undefined;
}

const firstPage = { first: 500 };

/** The servers that a key is bound to: known ones, or any name, as a key may be made before its server's first call. */
export function KeyServers({ chosen, onChange, forAll, offer, problem }: Props) {
  const { data } = useAsk(ServersDocument, offer ? firstPage : undefined);
  const [typed, setTyped] = useState("");
  const [field, setField] = useState({ round: 0, focus: false });
  const known = (data?.servers.nodes ?? []).filter(({ name }) => !chosen.includes(name));
  const add = (name: string, stay: boolean) => {
    setTyped("");
    setField(({ round }) => ({ round: round + 1, focus: stay }));
    if (name && !chosen.includes(name)) onChange([...chosen, name]);
  };
  if (forAll) {
    return <p className="hint">A key with Admin covers all servers.</p>;
  }
  return (
    <div
      className="field"
      onKeyDownCapture={(event) => {
        // a name that is in no list; an option that is marked is chosen by the list itself
        const input = event.target as HTMLElement;
        if (event.key !== "Enter" || input.tagName !== "INPUT" || !typed.trim()) return;
        if (input.getAttribute("aria-activedescendant")) return;
        event.preventDefault();
        event.stopPropagation();
        add(typed.trim(), true);
      }}
    >
      <ComboBox
        // afresh after each name: the field that becomes empty would open the list of all
        key={field.round}
        autoFocus={field.focus}
        className="field"
        items={known}
        inputValue={typed}
        onInputChange={setTyped}
        selectedKey={null}
        onSelectionChange={(name) => name !== null && add(String(name), true)}
        onBlur={() => typed.trim() && add(typed.trim(), false)}
        allowsCustomValue
        isInvalid={problem !== undefined}
      >
        <Label>Only these servers</Label>
        <div className="with-button">
          <Input placeholder={chosen.length === 0 ? "All servers" : "One more"} spellCheck={false} />
          <Button className="plain icon-only">
            <Icon name="down" />
          </Button>
        </div>
        <Text slot="description" className="hint">
          Without any, the key is for all servers. Press Enter to add a name that is not in the list
          {data?.servers.pageInfo.hasNextPage ? `, which has the first ${data.servers.nodes.length}.` : "."}
        </Text>
        <FieldError className="field-error">{problem}</FieldError>
        <Popover className="popover" placement="bottom start">
          <ListBox<{ name: string }> className="options">
            {({ name }) => (
              <ListBoxItem id={name} textValue={name} className="option">
                {visible(name)}
              </ListBoxItem>
            )}
          </ListBox>
        </Popover>
      </ComboBox>
      {chosen.length > 0 && (
        <TagGroup
          aria-label="Chosen servers"
          onRemove={(names) => onChange(chosen.filter((name) => !names.has(name)))}
        >
          <TagList className="chosen-filters">
            {chosen.map((name) => (
              <Tag key={name} id={name} textValue={name} className="chosen-filter">
                {visible(name)}
                <Button slot="remove" className="plain icon-only" aria-label={`Remove ${visible(name)}`}>
                  <Icon name="close" />
                </Button>
              </Tag>
            ))}
          </TagList>
        </TagGroup>
      )}
    </div>
  );
}
