import { useCallback, useEffect, useState } from "react";
import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Link } from "wouter";
import { InDrawer, useKeys } from "../state/keys";
import { callWords } from "../state/words";
import { CallDetail } from "./call-detail";
import type { Detail } from "./call-fields";
import type { OnPick } from "./call-row";
import { Icon } from "./icon";
import { titleOf } from "./title";

interface Props {
  id: string | undefined;
  onClose: () => void;
  onMove: (by: 1 | -1) => void;
  /** The address of a call as a page, with the list that it is from. */
  addressOf: (id: string) => string;
  canMove: { newer: boolean; older: boolean };
  onPick: OnPick;
  /** Is told of the call when it is known, and again when it changes. */
  onCall: (call: Detail) => void;
}

/** A call beside the list it is from. */
export function Drawer({ id, ...rest }: Props) {
  return (
    <ModalOverlay
      className="overlay"
      isDismissable
      isOpen={id !== undefined}
      onOpenChange={(open) => !open && rest.onClose()}
    >
      <Modal className="drawer">
        <InDrawer value={true}>{id && <Inside id={id} {...rest} />}</InDrawer>
      </Modal>
    </ModalOverlay>
  );
}

function Inside({ id, onClose, onMove, addressOf, canMove, onPick, onCall }: Props & { id: string }) {
  useKeys({ j: () => onMove(1), k: () => onMove(-1) });
  const [call, setCall] = useState<Detail>();
  const words = call?.id === id ? callWords(call) : undefined;
  const known = useCallback(
    (found: Detail) => {
      setCall(found);
      onCall(found);
    },
    [onCall],
  );
  // tabs and the history tell it from the list
  useEffect(() => {
    if (words === undefined) return;
    const { title } = document;
    document.title = titleOf(words);
    return () => {
      document.title = title;
    };
  }, [words]);
  return (
    <Dialog aria-label={words ? `Call: ${words}` : "Call"} className="drawer-dialog">
      <header className="drawer-head">
        {/* said when another call takes its place */}
        <Heading slot="title" aria-live="polite" title={words}>
          {words ?? "Call"}
        </Heading>
        <Button
          className="plain icon-only"
          aria-label="Previous call (newer)"
          isDisabled={!canMove.newer}
          onPress={() => onMove(-1)}
        >
          <Icon name="up" />
        </Button>
        <Button
          className="plain icon-only"
          aria-label="Next call (older)"
          isDisabled={!canMove.older}
          onPress={() => onMove(1)}
        >
          <Icon name="down" />
        </Button>
        <span className="hint wide-only">
          <kbd>j</kbd> next, <kbd>k</kbd> previous, <kbd>Esc</kbd> closes
        </span>
        <span className="space" />
        <Link href={addressOf(id)} className="button small">
          <Icon name="open" />
          Open as page
        </Link>
        <Button className="plain icon-only" aria-label="Close" onPress={onClose}>
          <Icon name="close" />
        </Button>
      </header>
      <div className="drawer-body">
        <CallDetail id={id} onPick={onPick} onCall={known} />
      </div>
    </Dialog>
  );
}
