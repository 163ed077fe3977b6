import type { CodegenConfig } from "@graphql-codegen/cli";

/** Typed documents for the operations in src/state, from the schema that the binary prints. */
const config: CodegenConfig = {
  schema: "../schema.graphql",
  documents: ["src/state/*.graphql"],
  generates: {
    "src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        documentMode: "string",
        useTypeImports: true,
        enumsAsTypes: true,
        skipTypename: true,
        defaultScalarType: "unknown",
        strictScalars: true,
        scalars: { DateTime: "string", JSON: "unknown" },
      },
    },
  },
};

export default config;
