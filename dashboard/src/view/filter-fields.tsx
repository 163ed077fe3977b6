import { type FormEvent, type ReactNode, useState } from "react";
import {
  Button,
  Dialog,
  DialogTrigger,
  FieldError,
  Input,
  Label,
  Popover,
  TextField,
} from "react-aria-components";
import { defined, type Filter } from "../state/filter";
import { readMilliseconds } from "../state/milliseconds";
import { Icon } from "./icon";

interface Props {
  filter: Filter;
  onChange: (filter: Filter) => void;
}

const longer = [100, 500, 1000, 5000, 10_000];

/** A button with the name of a filter, and behind it a form that closes when it is applied. */
function FieldMenu({
  label,
  on,
  form: FilterForm,
  filter,
  onChange,
}: Props & { label: string; on: boolean; form: (props: Props) => ReactNode }) {
  return (
    <DialogTrigger>
      <Button className={on ? "filter on" : "filter"}>
        {label}
        <Icon name="down" />
      </Button>
      <Popover className="popover" placement="bottom start">
        <Dialog aria-label={label} className="menu fields">
          {({ close }) => (
            <FilterForm
              filter={filter}
              onChange={(next) => {
                onChange(next);
                close();
              }}
            />
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

/** How long calls took, in milliseconds. */
export function DurationFilter(props: Props) {
  const { min, max } = props.filter;
  return (
    <FieldMenu label="Duration" on={min !== undefined || max !== undefined} form={DurationForm} {...props} />
  );
}

function DurationForm({ filter, onChange }: Props) {
  const [min, setMin] = useState(filter.min === undefined ? "" : String(filter.min));
  const [max, setMax] = useState(filter.max === undefined ? "" : String(filter.max));
  // said when it is applied, and from then on while it is put right
  const [tried, setTried] = useState(false);
  const [least, most] = [readMilliseconds(min), readMilliseconds(max)];
  const crossed =
    "value" in least &&
    "value" in most &&
    least.value !== undefined &&
    most.value !== undefined &&
    least.value > most.value;
  const wrongMin = "problem" in least ? least.problem : undefined;
  const wrongMax =
    "problem" in most ? most.problem : crossed ? "The maximum must not be below the minimum." : undefined;
  const apply = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if ("value" in least && "value" in most && !crossed)
      onChange(defined({ ...filter, min: least.value, max: most.value }));
  };
  return (
    <form onSubmit={apply} noValidate>
      <div className="presets">
        {longer.map((ms) => (
          <Button
            key={ms}
            className="small"
            onPress={() => onChange(defined({ ...filter, min: ms, max: undefined }))}
          >
            {ms < 1000 ? `≥ ${ms} ms` : `≥ ${ms / 1000} s`}
          </Button>
        ))}
      </div>
      <Milliseconds label="At least (ms)" text={min} onChange={setMin} wrong={tried ? wrongMin : undefined} />
      <Milliseconds label="At most (ms)" text={max} onChange={setMax} wrong={tried ? wrongMax : undefined} />
      <Button type="submit" className="primary">
        Apply
      </Button>
    </form>
  );
}

function Milliseconds({
  label,
  text,
  onChange,
  wrong,
}: {
  label: string;
  text: string;
  onChange: (text: string) => void;
  wrong: string | undefined;
}) {
  return (
    <TextField
      value={text}
      onChange={onChange}
      className="field"
      isInvalid={wrong !== undefined}
      validationBehavior="aria"
    >
      <Label>{label}</Label>
      <Input inputMode="decimal" />
      <FieldError className="field-error">{wrong}</FieldError>
    </TextField>
  );
}

/** One session, by the id on the wire or by mcptap's own. */
export function SessionFilter(props: Props) {
  return <FieldMenu label="Session" on={props.filter.session !== undefined} form={SessionForm} {...props} />;
}

function SessionForm({ filter, onChange }: Props) {
  const [session, setSession] = useState(filter.session ?? "");
  const apply = (event: FormEvent) => {
    event.preventDefault();
    onChange(defined({ ...filter, session: session.trim() || undefined }));
  };
  return (
    <form onSubmit={apply}>
      <TextField value={session} onChange={setSession} className="field" autoFocus>
        <Label>Session ID</Label>
        <Input spellCheck={false} />
      </TextField>
      <p className="hint">The Mcp-Session-Id, or the ID of a session on the page Sessions.</p>
      <Button type="submit" className="primary">
        Apply
      </Button>
    </form>
  );
}
