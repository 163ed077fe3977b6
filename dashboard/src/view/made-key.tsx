import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { type ApiKey, askSnippet, madeKey, sendSnippet } from "../state/api-keys";
import { endpoint } from "../state/endpoint";
import { visible } from "../state/words";
import { Copy } from "./copy";
import { Snippet } from "./snippet";

interface Props {
  apiKey: ApiKey;
  secret: string;
  /** Whether it is the first one, and this tab is signed in with it. */
  first: boolean;
}

/** The secret of a key that was made, once. It closes by its button alone, so that no stray click loses it. */
export function MadeKey({ apiKey, secret, first }: Props) {
  const sends = apiKey.scopes.includes("INGEST");
  const asks = apiKey.scopes.includes("READ") || apiKey.scopes.includes("ADMIN");
  return (
    <ModalOverlay className="overlay centre" isOpen isKeyboardDismissDisabled>
      <Modal className="box">
        <Dialog className="asks">
          <Heading slot="title">{visible(apiKey.name)} is created</Heading>
          <p className="sight cut">
            <strong>Copy the key now.</strong> It is not stored and cannot be shown again.
          </p>
          <div className="snippet">
            <code className="break secret-text">{secret}</code>
            <Copy text={secret} label="Copy the key" words="Copy the key" />
          </div>
          {first && (
            <p>
              This tab is signed in with it until it is closed. Everyone else needs a key from now on
              {sends ? "." : ": servers that send here are refused until they have one with Ingest."}
            </p>
          )}
          {sends && (
            <Snippet
              words="A server, the wrapper and the proxy send with it where this is set:"
              code={sendSnippet(secret)}
            />
          )}
          {asks && (
            <>
              <Snippet words="Query the API with it:" code={askSnippet(secret, endpoint.href)} />
              <p className="hint">To use this dashboard, sign in with it.</p>
            </>
          )}
          <div className="answers">
            <Button className="primary" onPress={() => madeKey.set(undefined)}>
              I have copied the key
            </Button>
          </div>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
