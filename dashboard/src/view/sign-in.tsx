import { type FormEvent, useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import { keyStore, readKey, signIn } from "../state/key";
import { useStore } from "../state/store";

/** Asks for a key, because the API does. */
export function SignIn() {
  const { key, why } = useStore(keyStore);
  const [typed, setTyped] = useState("");
  const enter = (event: FormEvent) => {
    event.preventDefault();
    const key = readKey(typed);
    if (key) signIn(key);
  };
  return (
    <div className="page narrow-page">
      <form className="card sign-in" onSubmit={enter} aria-labelledby="sign-in">
        <h1 id="sign-in">Sign in</h1>
        {key && (
          <p role="alert" className="sight cut">
            {why
              ? `${why.slice(0, 1).toUpperCase()}${why.slice(1)}.`
              : "The API key was not accepted. It may be revoked, expired, or not allowed to read calls."}
          </p>
        )}
        <p>This mcptap requires an API key. Its operator can create one.</p>
        <TextField
          type="password"
          value={typed}
          onChange={setTyped}
          className="field"
          autoFocus
          autoComplete="off"
        >
          <Label>API key</Label>
          <Input spellCheck={false} />
        </TextField>
        <p className="hint">The key is kept for this tab only, until it is closed.</p>
        <Button type="submit" className="primary" isDisabled={!readKey(typed)}>
          Sign in
        </Button>
      </form>
    </div>
  );
}
