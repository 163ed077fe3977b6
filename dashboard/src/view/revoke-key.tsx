import { useState } from "react";
import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { RevokeKeyDocument } from "../gql/graphql";
import { ask, explain } from "../state/api";
import type { ApiKey } from "../state/api-keys";
import { visible } from "../state/words";
import { notice } from "./notice";

interface Props {
  /** The key in question. Without one nothing is asked. */
  apiKey: ApiKey | undefined;
  own: boolean;
  /** Whether no other key administers. */
  last: boolean;
  onClose: () => void;
  onRevoked: (id: string) => void;
}

/** Asks whether a key is really to be revoked, and says what that would do. */
export function RevokeKey({ apiKey, ...rest }: Props) {
  return (
    <ModalOverlay
      className="overlay centre"
      isDismissable
      isOpen={apiKey !== undefined}
      onOpenChange={(open) => !open && rest.onClose()}
    >
      <Modal className="box">
        <Dialog role="alertdialog" className="asks">
          {apiKey && <Question apiKey={apiKey} {...rest} />}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

function Question({ apiKey, own, last, onClose, onRevoked }: Props & { apiKey: ApiKey }) {
  const [problem, setProblem] = useState("");
  const [revoking, setRevoking] = useState(false);
  const revoke = async () => {
    setRevoking(true);
    try {
      const answer = (await ask(RevokeKeyDocument, { id: apiKey.id })).revokeApiKey;
      if ("message" in answer) throw new Error(answer.message);
      notice(`${visible(apiKey.name)} is revoked`);
      onClose();
      onRevoked(apiKey.id);
    } catch (error) {
      setProblem(explain(error) || "mcptap does not answer");
      setRevoking(false);
    }
  };
  return (
    <>
      <Heading slot="title">Revoke {visible(apiKey.name)}?</Heading>
      <p>
        Requests with this key are refused from now on, and its open connections are closed. This cannot be
        undone.
      </p>
      {own && (
        <p className="sight cut">
          <strong>This tab uses it.</strong> You will be asked for another key.
        </p>
      )}
      {last && (
        <p className="sight cut">
          <strong>No other active key has the scope Admin.</strong> After this, keys are only made on the
          command line, with <code>mcptap keys create</code>.
        </p>
      )}
      {problem && (
        <p role="alert" className="field-error">
          {problem}
        </p>
      )}
      <div className="answers">
        <Button className="small" onPress={onClose} autoFocus>
          Cancel
        </Button>
        <Button className="small danger" isDisabled={revoking} onPress={revoke}>
          {revoking ? "Revoking…" : "Revoke"}
        </Button>
      </div>
    </>
  );
}
