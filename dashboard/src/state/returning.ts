/** How many lists are remembered, for whoever goes back to them. */
const mostPlaces = 6;

// whether the address was come to by going back or forward, and nobody has asked yet
let returned = false;

/** The router tells of its own steps by these. */
const steps = ["pushState", "replaceState"] as const;

/** The address of the page, whatever part of it is in sight. */
export const address = () => location.pathname + location.search;

/** Does something whenever somebody goes back or forward to another page. Browsers tell alike of a link to a part of the same one. */
export function onReturn(run: () => void): void {
  let at = address();
  window.addEventListener("popstate", () => {
    const before = at;
    at = address();
    if (at !== before) run();
  });
  for (const step of steps)
    window.addEventListener(step, () => {
      at = address();
    });
}

if (typeof window !== "undefined") {
  onReturn(() => {
    returned = true;
  });
  for (const step of steps)
    window.addEventListener(step, () => {
      returned = false;
    });
}

/** Whether this address was come to by going back or forward. Said once: what is asked for later is asked for anew. */
export function takeReturn(): boolean {
  const was = returned;
  returned = false;
  return was;
}

/** What lists looked like when they were left, the last few of them. */
export class Memory<Place> {
  private readonly places = new Map<string, Place>();

  keep(list: string, place: Place): void {
    this.places.delete(list);
    this.places.set(list, place);
    const [oldest] = this.places.keys();
    if (this.places.size > mostPlaces && oldest !== undefined) this.places.delete(oldest);
  }

  find(list: string): Place | undefined {
    return this.places.get(list);
  }
}
