import { Button, Dialog, DialogTrigger, Label, ListBox, ListBoxItem, Popover } from "react-aria-components";
import { useColumns } from "../state/place";
import { changeSettings, columnNames, columns, pageSizes, settings } from "../state/settings";
import { useStore } from "../state/store";
import { Icon } from "./icon";

/** Which columns the list has, and how many rows a page has. */
export function ColumnsMenu() {
  const { pageSize } = useStore(settings);
  const { columns: chosen, setColumns, forget } = useColumns();
  return (
    <DialogTrigger>
      <Button className="filter">
        <Icon name="columns" />
        Columns
        <Icon name="down" />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog aria-label="Columns" className="menu fields">
          <ListBox
            aria-label="Columns"
            className="options"
            selectionMode="multiple"
            escapeKeyBehavior="none"
            disallowEmptySelection
            selectedKeys={chosen}
            onSelectionChange={(keys) =>
              setColumns(columns.filter((name) => keys === "all" || keys.has(name)))
            }
          >
            {columns.map((name) => (
              <ListBoxItem key={name} id={name} textValue={columnNames[name]} className="option">
                <span className="tick" aria-hidden="true">
                  <Icon name="check" />
                </span>
                {columnNames[name]}
              </ListBoxItem>
            ))}
          </ListBox>
          {forget && (
            <Button className="small" onPress={forget}>
              Reset to my columns
            </Button>
          )}
          <div className="field">
            <Label id="page-size">Rows per page</Label>
            <div className="presets" role="group" aria-labelledby="page-size">
              {pageSizes.map((size) => (
                <Button
                  key={size}
                  className={size === pageSize ? "small chosen" : "small"}
                  aria-pressed={size === pageSize}
                  onPress={() => changeSettings({ pageSize: size })}
                >
                  {size}
                </Button>
              ))}
            </div>
          </div>
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
