import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { shortcuts } from "../state/keys";
import { Icon } from "./icon";

/** What the keys do. */
export function Shortcuts({ open, onChange }: { open: boolean; onChange: (open: boolean) => void }) {
  return (
    <ModalOverlay className="overlay centre" isDismissable isOpen={open} onOpenChange={onChange}>
      <Modal className="box">
        <Dialog className="shortcuts">
          {({ close }) => (
            <>
              <header className="drawer-head">
                <Heading slot="title">Keyboard</Heading>
                <span className="space" />
                <Button className="plain icon-only" aria-label="Close" onPress={close}>
                  <Icon name="close" />
                </Button>
              </header>
              {shortcuts.map(({ group, keys }) => (
                <section key={group}>
                  <h3>{group}</h3>
                  <dl>
                    {keys.map(({ key, does }) => (
                      <div key={key}>
                        <dt>
                          {key.split(" ").map((one) => (
                            <kbd key={one}>{one}</kbd>
                          ))}
                        </dt>
                        <dd>{does}</dd>
                      </div>
                    ))}
                  </dl>
                </section>
              ))}
              <p className="hint">Single-key shortcuts can be turned off in the settings.</p>
            </>
          )}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
