/** How many lists are remembered, for whoever goes back to them. */
const mostPlaces = 6;

// whether the address was come to by going back or forward, and nobody has asked yet
let returned = false;

if (typeof window !== "undefined") {
  window.addEventListener("popstate", () => {
    returned = true;
  });
  // the router tells of its own steps by these
  for (const step of ["pushState", "replaceState"])
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
