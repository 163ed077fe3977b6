import { Button, Dialog, DialogTrigger, Popover } from "react-aria-components";
import { scopeName } from "../state/api-keys";
import { currentKey, signOut } from "../state/key";
import { changeSettings, settings, type Theme } from "../state/settings";
import { useStore } from "../state/store";
import { useViewer } from "../state/viewer";
import { visible } from "../state/words";
import { Icon } from "./icon";
import { Toggle } from "./toggle";

const themes: readonly [Theme, string][] = [
  ["system", "System"],
  ["light", "Light"],
  ["dark", "Dark"],
];

function zones(): readonly string[] {
  try {
    return Intl.supportedValuesOf("timeZone");
  } catch {
    return [];
  }
}

/** What a person prefers: theme, time zone, how times are written, shortcuts. */
export function SettingsMenu() {
  const { theme, zone, relative, keys } = useStore(settings);
  const viewer = useViewer();
  return (
    <DialogTrigger>
      <Button className="plain icon-only" aria-label="Settings">
        <Icon name="gear" />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog aria-label="Settings" className="menu fields">
          <div className="field">
            <span id="theme-label">Theme</span>
            <div className="presets" role="group" aria-labelledby="theme-label">
              {themes.map(([name, words]) => (
                <Button
                  key={name}
                  className={theme === name ? "small chosen" : "small"}
                  aria-pressed={theme === name}
                  onPress={() => changeSettings({ theme: name })}
                >
                  {words}
                </Button>
              ))}
            </div>
          </div>
          <div className="field">
            <label htmlFor="zone">Time zone</label>
            <select id="zone" value={zone} onChange={(event) => changeSettings({ zone: event.target.value })}>
              <option value="local">
                Browser time zone ({Intl.DateTimeFormat().resolvedOptions().timeZone})
              </option>
              <option value="UTC">UTC</option>
              {zones().map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </div>
          <Toggle on={relative} onChange={(on) => changeSettings({ relative: on })}>
            Relative times in lists
          </Toggle>
          <Toggle on={keys} onChange={(on) => changeSettings({ keys: on })}>
            Single-key shortcuts
          </Toggle>
          {currentKey() && (
            <div className="field">
              {viewer?.key && (
                <>
                  <span>Signed in as</span>
                  <span className="who">
                    <strong className="break">{visible(viewer.key.name)}</strong>
                    <br />
                    {viewer.scopes.map(scopeName).join(", ")}
                    {viewer.servers.length > 0 && `; only ${viewer.servers.map(visible).join(", ")}`}
                  </span>
                </>
              )}
              <Button className="small" onPress={signOut}>
                <Icon name="key" />
                Sign out
              </Button>
            </div>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
