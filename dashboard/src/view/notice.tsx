import {
  Button,
  Text,
  UNSTABLE_Toast as Toast,
  UNSTABLE_ToastContent as ToastContent,
  UNSTABLE_ToastQueue as ToastQueue,
  UNSTABLE_ToastRegion as ToastRegion,
} from "react-aria-components";
import { Icon } from "./icon";

const queue = new ToastQueue<{ text: string; undo?: () => void }>({ maxVisibleToasts: 3 });

/** Tells of something that was done, for a few seconds; longer where it can be undone. */
export function notice(text: string, undo?: () => void): void {
  queue.add(undo ? { text, undo } : { text }, { timeout: undo ? 10_000 : 5000 });
}

export function Notices() {
  return (
    <ToastRegion queue={queue} className="notices" aria-label="Notices">
      {({ toast }) => (
        <Toast toast={toast} className="notice">
          <ToastContent>
            <Text slot="title">{toast.content.text}</Text>
          </ToastContent>
          {toast.content.undo && (
            <Button
              className="undo"
              onPress={() => {
                toast.content.undo?.();
                queue.close(toast.key);
              }}
            >
              Undo
            </Button>
          )}
          <Button slot="close" className="plain icon-only" aria-label="Close">
            <Icon name="close" />
          </Button>
        </Toast>
      )}
    </ToastRegion>
  );
}
