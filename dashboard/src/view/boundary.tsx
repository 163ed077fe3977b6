import { Component, type ReactNode } from "react";
import { NotLoaded } from "./not-loaded";

interface Props {
  /** The address: another page is another chance. */
  at: string;
  children: ReactNode;
}

interface State {
  at: string;
  problem: unknown;
}

/** Says what to do when a part of the page breaks, where it would be blank otherwise. */
export class Boundary extends Component<Props, State> {
  override state: State = { at: this.props.at, problem: undefined };

  static getDerivedStateFromError(problem: unknown) {
    return { problem };
  }

  static getDerivedStateFromProps({ at }: Props, state: State) {
    return at === state.at ? null : { at, problem: undefined };
  }

  override render() {
    const { problem } = this.state;
    if (problem === undefined) return this.props.children;
    if (isNotLoaded(problem)) return <NotLoaded />;
    return (
      <div className="problem" role="alert">
        <h1>Something went wrong</h1>
        <p>
          This is a bug in the dashboard, not in your server, and no call is lost. Reload the page: after an
          update of mcptap that is all it needs.
        </p>
        <p className="said">{problem instanceof Error ? problem.message : String(problem)}</p>
        <button type="button" className="primary" onClick={() => location.reload()}>
          Reload
        </button>
      </div>
    );
  }
}

/** Whether the script of a page did not come, as each browser says it. */
function isNotLoaded(problem: unknown): boolean {
  return problem instanceof TypeError && /import(ed|ing).*module/i.test(problem.message);
}
