declare module "*.md?codes" {
  const codes: import("../markdown").Codes;
  export default codes;
}
