import { useState } from "react";
import { Button } from "react-aria-components";
import { Icon } from "./icon";
import { notice } from "./notice";

/** Puts text on the clipboard. False where the browser does not let a page do so. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // pages over plain HTTP from another machine have no clipboard but this old way
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** A button that copies. `text` may be asked for only then. */
export function Copy({
  text,
  label,
  words,
}: {
  text: string | (() => Promise<string>);
  label: string;
  words?: string;
}) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      const done = await copyText(typeof text === "string" ? text : await text());
      if (!done) throw new Error("the browser does not let this page copy");
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
      notice("Copied");
    } catch (error) {
      notice(`Not copied: ${error instanceof Error ? error.message : "the text could not be loaded"}`);
    }
  };
  return (
    <Button
      className={words ? "small" : "plain icon-only"}
      aria-label={words ? undefined : label}
      onPress={copy}
    >
      <Icon name={copied ? "check" : "copy"} />
      {words}
    </Button>
  );
}
