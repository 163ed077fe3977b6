// The official TypeScript client, meeting a server that wants OAuth.
//
//     node oauth.mjs URL
//
// It prints as JSON to which page it would send the user, or why to none.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const seen = {};
const provider = {
  redirectUrl: "http://127.0.0.1:9/callback",
  clientMetadata: {
    redirect_uris: ["http://127.0.0.1:9/callback"], client_name: "typescript-client", grant_types: ["authorization_code"],
    response_types: ["code"], token_endpoint_auth_method: "none",
  },
  clientInformation: () => seen.client,
  saveClientInformation: (client) => { seen.client = client; },
  tokens: () => undefined,
  saveTokens: () => {},
  saveCodeVerifier: () => {},
  codeVerifier: () => "",
  redirectToAuthorization: (page) => { seen.page = String(page); },
};
const client = new Client({ name: "typescript-client", version: "2.4.0" });
try {
  await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2]), { authProvider: provider }));
} catch (error) {
  seen.error = String(error.message);
}
console.log(JSON.stringify({ page: seen.page, error: seen.error }));
process.exit(0);
