import { useState } from "react";
import { ViewsDocument } from "../gql/graphql";
import { explain } from "../state/api";
import { useAsk } from "../state/asking";
import type { Filter } from "../state/filter";
import { useColumns } from "../state/place";
import { toViewFilter } from "../state/view-filter";
import { useViewer } from "../state/viewer";
import { maySave, whose } from "../state/views";
import { LocalViews } from "./local-views";
import { SaveViewForm } from "./save-view-form";
import { Skeleton } from "./skeleton";
import { ViewLine } from "./view-line";

const noVariables = {};

/** The views that the API keeps, those of this browser, and a form that saves what the list shows. */
export default function Views({ filter, live, close }: { filter: Filter; live: boolean; close: () => void }) {
  const viewer = useViewer();
  const { columns } = useColumns();
  const [round, setRound] = useState(0);
  const { data, problem } = useAsk(ViewsDocument, noVariables, round);
  const again = () => setRound((before) => before + 1);
  const views = data?.views;
  const shown = { ...toViewFilter(filter), columns: [...columns] };

  if (problem !== undefined && !views) {
    return <p role="alert">The views could not be loaded: {explain(problem) || "mcptap does not answer"}</p>;
  }
  if (!views || !viewer) return <Skeleton lines={4} />;
  return (
    <>
      {views.length === 0 ? (
        <p className="hint">No views yet.</p>
      ) : (
        <ul className="views" aria-label="Views">
          {views.map((view) => (
            <ViewLine
              key={view.id}
              view={view}
              viewer={viewer}
              shown={shown}
              onChanged={again}
              close={close}
            />
          ))}
        </ul>
      )}
      <LocalViews viewer={viewer} onMoved={again} close={close} />
      {maySave(viewer) ? (
        <SaveViewForm
          viewer={viewer}
          mine={views.filter((view) => ["mine", undefined].includes(whose(view, viewer)))}
          everybodys={views.filter((view) => whose(view, viewer) === "everybody")}
          live={live}
          shown={shown}
          onSaved={close}
        />
      ) : (
        <p className="hint">
          You can open views but not save them: while no API key exists, views can only be saved on the
          machine that mcptap runs on. Its operator creates keys with <code>mcptap keys create</code>.
        </p>
      )}
    </>
  );
}
