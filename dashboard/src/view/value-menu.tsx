import type { ReactNode } from "react";
import { Button, Menu, MenuItem, MenuTrigger, Popover } from "react-aria-components";
import type { ListName } from "../state/filter";
import type { OnPick } from "./call-row";
import { copyText } from "./copy";
import { notice } from "./notice";

/** The id of the words that a screen reader adds to each value. */
export const valueHelp = "value-help";

/** A value that opens a menu: only calls with it, only those without it, copy. */
export function ValueMenu({
  name,
  value,
  onPick,
  children,
}: {
  name: ListName;
  value: string;
  onPick: OnPick;
  children: ReactNode;
}) {
  return (
    <MenuTrigger>
      <Button className="value" aria-describedby={valueHelp}>
        <span className="few-lines">{children}</span>
      </Button>
      <Popover className="popover" placement="bottom start">
        <Menu className="options">
          <MenuItem className="option" onAction={() => onPick(name, value, "include")}>
            Filter for
          </MenuItem>
          <MenuItem className="option" onAction={() => onPick(name, value, "exclude")}>
            Filter out
          </MenuItem>
          <MenuItem
            className="option"
            onAction={async () =>
              notice((await copyText(value)) ? "Copied" : "The browser does not let this page copy")
            }
          >
            Copy
          </MenuItem>
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
