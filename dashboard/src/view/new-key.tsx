import { type FormEvent, useState } from "react";
import {
  Button,
  Dialog,
  FieldError,
  Form,
  Heading,
  Input,
  Label,
  Modal,
  ModalOverlay,
  TextField,
} from "react-aria-components";
import { CreateKeyDocument } from "../gql/graphql";
import { ask, explain } from "../state/api";
import { emptyDraft, madeKey, toKeyInput } from "../state/api-keys";
import { clock } from "../state/clock";
import { signIn } from "../state/key";
import { Icon } from "./icon";
import { KeyEnding } from "./key-ending";
import { KeyScopes } from "./key-scopes";
import { KeyServers } from "./key-servers";

interface Props {
  open: boolean;
  /** Whether no key was ever made. */
  first: boolean;
  /** Whether the names of servers can be asked for. */
  seesServers: boolean;
  onClose: () => void;
  onMade: () => void;
}

/** The dialog that makes a key. */
export function NewKey(props: Props) {
  return (
    <ModalOverlay
      className="overlay centre"
      isOpen={props.open}
      onOpenChange={(open) => !open && props.onClose()}
    >
      <Modal className="box">
        <Dialog className="asks">
          <KeyForm {...props} />
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

/** What the API objects to, and in which field of the input; without a field it is no matter of the form. */
interface Objection {
  field?: string;
  message: string;
}

function KeyForm({ first, seesServers, onClose, onMade }: Props) {
  const [draft, setDraft] = useState(() => emptyDraft(first));
  const [objection, setObjection] = useState<Objection>();
  const [saving, setSaving] = useState(false);
  const at = (field: string) => (objection?.field === field ? objection.message : undefined);
  const create = async (event: FormEvent) => {
    event.preventDefault();
    if (saving) return;
    setSaving(true);
    setObjection(undefined);
    try {
      const { createApiKey: made } = await ask(CreateKeyDocument, {
        input: toKeyInput(draft, new Date(clock())),
      });
      if (made.__typename === "ApiKeyCreated") {
        madeKey.set({ apiKey: made.apiKey, secret: made.secret, first });
        // from this moment nothing more is answered to a tab without a key
        if (first) signIn(made.secret);
        onClose();
        onMade();
        return;
      }
      setObjection(made);
    } catch (error) {
      setObjection({ message: explain(error) || "mcptap does not answer" });
    }
    setSaving(false);
  };
  return (
    <>
      <header className="drawer-head">
        <Heading slot="title">{first ? "Create the first key" : "Create a key"}</Heading>
        <span className="space" />
        <Button className="plain icon-only" aria-label="Close" onPress={onClose}>
          <Icon name="close" />
        </Button>
      </header>
      <Form className="asks-form" onSubmit={create} validationBehavior="aria">
        {first && (
          <div className="sight cut">
            <strong>Once a key exists, every request needs a key.</strong> That is also so for servers that
            send here now: until they have a key with Ingest, their calls are refused. This tab goes on with
            the new key; other tabs and programs need one.
          </div>
        )}
        <TextField
          className="field"
          value={draft.name}
          onChange={(name) => setDraft({ ...draft, name })}
          isInvalid={at("name") !== undefined}
          autoFocus
        >
          <Label>Name</Label>
          <Input placeholder="Who or what uses it" spellCheck={false} />
          <FieldError className="field-error">{at("name")}</FieldError>
        </TextField>
        <KeyScopes
          chosen={draft.scopes}
          onChange={(scopes) => setDraft({ ...draft, scopes })}
          first={first}
          problem={at("scopes")}
        />
        <KeyServers
          chosen={draft.servers}
          onChange={(servers) => setDraft({ ...draft, servers })}
          forAll={draft.scopes.includes("ADMIN")}
          offer={seesServers}
          problem={at("servers")}
        />
        <KeyEnding
          ends={draft.ends}
          onChange={(ends) => setDraft({ ...draft, ends })}
          problem={at("expiresAt")}
        />
        {objection && !["name", "scopes", "servers", "expiresAt"].includes(objection.field ?? "") && (
          <p role="alert" className="field-error">
            {objection.message}
          </p>
        )}
        <div className="answers">
          <Button className="small" onPress={onClose}>
            Cancel
          </Button>
          <Button type="submit" className="primary" isDisabled={saving}>
            {saving ? "Creating…" : "Create"}
          </Button>
        </div>
      </Form>
    </>
  );
}
