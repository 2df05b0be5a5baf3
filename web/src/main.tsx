import { render } from "preact";
import { useEffect } from "preact/hooks";
import "uplot/dist/uPlot.min.css";

import { zone } from "./format";
import { FleetPage } from "./pages/fleet";
import { GpuPage } from "./pages/gpu";
import { PipelinePage } from "./pages/pipeline";
import { Empty } from "./parts/states";
import { link, useView } from "./router";
import "./style.css";

function Page() {
  const view = useView();
  const [page, id] = view.path;
  useEffect(() => {
    document.title = `${page === "gpu" ? "GPU" : page === "pipeline" ? "Pipeline" : "Fleet"} · GPU telemetry`;
    window.scrollTo(0, 0);
  }, [page, id]);
  if (page === undefined) return <FleetPage parameters={view.parameters} />;
  if (page === "gpu" && id) return <GpuPage key={id} uuid={id} parameters={view.parameters} />;
  if (page === "pipeline") return <PipelinePage />;
  return (
    <Empty title="There is no such page">
      <a href={link("")}>To the fleet</a>
    </Empty>
  );
}

function App() {
  const [page] = useView().path;
  const current = (here: boolean) => (here ? { "aria-current": "page" as const } : {});
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById("main")?.focus();
      }}>
        To the content
      </a>
      <header>
        <a class="brand" href={link("")}>
          <img src="/favicon.svg" alt="" width="18" height="18" /> GPU telemetry
        </a>
        <nav aria-label="Pages">
          <a href={link("")} {...current(page === undefined || page === "gpu")}>
            Fleet
          </a>
          <a href={link("pipeline")} {...current(page === "pipeline")}>
            Pipeline
          </a>
          <a href="/swagger/index.html">API</a>
        </nav>
        <span class="muted zone">times in {zone}</span>
      </header>
      <main id="main" tabIndex={-1}>
        <Page />
      </main>
    </>
  );
}

render(<App />, document.getElementById("app")!);
