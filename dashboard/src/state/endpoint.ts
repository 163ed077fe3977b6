// Every script of ours lies in assets/, one level below the root of the pages, also where a reverse proxy serves
// them below some path. The address of the page says less: it may be /sessions/ID.
const script: string = import.meta.url;

/** The root of the pages. Ends with a slash. */
export const root = new URL(import.meta.env.DEV ? "/" : "../", script);

/** The GraphQL API beside the pages. */
export const endpoint = new URL("./graphql", root);

/** The same address for a WebSocket. */
export const socketEndpoint = new URL(endpoint);
socketEndpoint.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";
