const paths = {
  close: "M4 4l8 8M12 4l-8 8",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5L14 14",
  down: "M4 6l4 4 4-4",
  right: "M6 4l4 4-4 4",
  left: "M10 4l-4 4 4 4",
  up: "M4 10l4-4 4 4",
  copy: "M6 6V3.5h6.5V10H10M3.5 6H10v6.5H3.5z",
  check: "M3.5 8.5l3 3 6-7",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3",
  plus: "M8 3.5v9M3.5 8h9",
  minus: "M3.5 8h9",
  columns: "M2.5 3.5h11v9h-11zM6.2 3.5v9M9.8 3.5v9",
  star: "M8 2.5l1.7 3.6 3.8.5-2.8 2.7.7 3.9L8 11.3l-3.4 1.9.7-3.9-2.8-2.7 3.8-.5z",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  gear: "M2.5 5h6M11.5 5h2M10 3.5v3M2.5 11h2M7.5 11h6M6 9.5v3",
  edit: "M10.5 3.5l2 2L6 12H4v-2z",
  open: "M9.5 3.5h3v3M12.5 3.5L7.5 8.5M11 9.5v3H3.5V5h3",
  key: "M10 3.5a2.8 2.8 0 1 1-2.3 4.4L3 12.5v1h2v-1.5h1.5V10.500h1.2M10.500 5.800h.1",
  cut: "M3 8h2M7 8h2M11 8h2",
  lock: "M4 7.500h8v5.500H4zM5.800 7.500V5.300a2.200 2.200 0 0 1 4.400 0v2.200",
} as const;

export type IconName = keyof typeof paths;

/** A small drawing beside words; it never stands for words alone. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
