import { Checkbox, CheckboxGroup, FieldError, Label } from "react-aria-components";
import type { Scope } from "../gql/graphql";
import { scopes, withScope } from "../state/api-keys";
import { Icon } from "./icon";

interface Props {
  chosen: readonly Scope[];
  onChange: (scopes: readonly Scope[]) => void;
  first: boolean;
  problem: string | undefined;
}

/** What a key allows, each with what that means. */
export function KeyScopes({ chosen, onChange, first, problem }: Props) {
  return (
    <CheckboxGroup
      className="field"
      value={[...chosen]}
      onChange={(next) => {
        const changed = scopes.find(({ scope }) => next.includes(scope) !== chosen.includes(scope));
        if (changed) onChange(withScope(chosen, changed.scope, next.includes(changed.scope)));
      }}
      isInvalid={problem !== undefined}
    >
      <Label>Scopes</Label>
      {scopes.map(({ scope, name, means }) => (
        <Checkbox key={scope} value={scope} className="check">
          <span className="tick" aria-hidden="true">
            <Icon name="check" />
          </span>
          <span>
            <strong>{name}</strong>
            <br />
            <span className="hint">{means}</span>
          </span>
        </Checkbox>
      ))}
      {first && !chosen.includes("ADMIN") && (
        <p className="sight cut">
          <strong>A first key without Admin would lock you out:</strong> keys could then be made on the
          command line alone, with <code>mcptap keys create</code>.
        </p>
      )}
      {first && chosen.includes("ADMIN") && !chosen.includes("READ") && (
        <p className="sight cut">
          <strong>Without Read, this tab shows no calls.</strong> You could still make another key.
        </p>
      )}
      <FieldError className="field-error">{problem}</FieldError>
    </CheckboxGroup>
  );
}
