import { lazy, Suspense, useState } from "react";
import { Button, Dialog, DialogTrigger, Popover } from "react-aria-components";
import type { Filter } from "../state/filter";
import { Boundary } from "./boundary";
import { Icon } from "./icon";
import { Skeleton } from "./skeleton";

// most visits open no view
const Views = lazy(() => import("./views"));

/** Saved views: filters and columns with names. `filter` is what the list shows. */
export function ViewsMenu({ filter, live }: { filter: Filter; live: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <DialogTrigger isOpen={open} onOpenChange={setOpen}>
      <Button className="filter">
        <Icon name="star" />
        Views
        <Icon name="down" />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog aria-label="Saved views" className="menu fields views-menu">
          <Boundary at="views">
            <Suspense fallback={<Skeleton lines={4} />}>
              <Views filter={filter} live={live} close={() => setOpen(false)} />
            </Suspense>
          </Boundary>
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
