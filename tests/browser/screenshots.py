"""Takes the pictures of docs/mlflow.md: a small tuned study, MLflow's real UI, and Chromium.

    python -m tests.browser.screenshots FOLDER

FOLDER keeps the study's store (about five minutes on two cores at first): the next call only takes the pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from bench.core.schema import ARTIFACT_REPORT, Purpose, Tag
from bench.tracking import store
from bench.tracking.server import artifact_page, runs_page
from tests.conftest import ROOT
from tests.support import chromium
from tests.support.commands import bench_process
from tests.support.servers import mlflow_server

IMAGES = ROOT / "docs" / "images"
SIDE_BAR = 200  # pixels; it shows nothing of a study
COLOURS = 256

STUDY = """
name: tour
question: Which strategy in which cell of the decision matrix, on small synthetic image datasets, at default and at tuned hyperparameters?
datasets:
  - {name: synthetic/fine, similarity: similar, n_per_class: [10, 50]}
  - {name: synthetic/glyph, similarity: dissimilar, n_per_class: [10, 50]}
backbones:
  - {name: test_resnet, source: synthetic/source, source_train: {epochs: 3}}
strategies: [linear_probe, last_stages, full + head_x10, full + head_x10 + l2_sp, scratch]
hyperparameters:
  linear_probe: {lr: 1e-2}
  last_stages: {lr: 3e-3, k: 2}
  full: {lr: 1e-3}
  scratch: {lr: 1e-2}
seeds: 3
train: {image_size: 32, precision: fp32, optimizer: adamw, batch_size: 32, epochs: 3, min_steps: 30}
tune: {trials: 6, pruner: median, pruner_options: {n_startup_trials: 2}}
matrix: {small_at_most: 20}
"""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tour.yaml").write_text(STUDY)
    ran = bench_process(folder, "run", "tour.yaml", timeout=3600)
    if ran.returncode:
        sys.exit(ran.stdout + ran.stderr)
    path = chromium.find() or sys.exit("no browser")
    uri = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    experiment = store.experiment_ids(uri)["tour"]
    (study,) = (r for r in store.read_runs(uri, "tour") if r.tags[Tag.PURPOSE] == Purpose.STUDY)
    report = artifact_page(experiment, study.mlflow_run_id, f"{ARTIFACT_REPORT}/report.html")
    with (
        mlflow_server(uri, folder) as url,
        chromium.launched(path) as browser,
        chromium.window(browser, 1400) as (context, _),
    ):
        view = f"{url}/{runs_page(experiment, 'cell-similar-large')}"
        with opened(context, view) as page:
            expect(page.get_by_text("Group: strategy").first).to_be_visible()
            page.get_by_role("button", name="Hide banner").click()
            save(page, "mlflow-cell", 560)
        with opened(context, f"{view}&compareRunsMode=CHART") as page:
            expect(page.locator(".plot-container").first).to_be_visible()
            page.get_by_role("button", name="Hide banner").click()
            save(page, "mlflow-charts", 680)
        with opened(context, f"{url}/{report}") as page:
            expect(page.frame_locator("iframe").get_by_role("heading", name="tour")).to_be_visible()
            page.get_by_text("Path:").evaluate(
                "line => { line.style.visibility = 'hidden' }"
            )  # on this machine
            save(page, "mlflow-report", 800)


@contextmanager
def opened(context: BrowserContext, address: str) -> Iterator[Page]:
    page = context.new_page()
    page.goto(address)
    yield page
    page.close()


def save(page: Page, name: str, height: int) -> None:
    """The top of the page without its side bar, in as few colours as a small file takes."""
    page.wait_for_timeout(3000)  # charts move into place
    file = IMAGES / f"{name}.png"
    IMAGES.mkdir(exist_ok=True)
    assert page.viewport_size
    width = page.viewport_size["width"] - SIDE_BAR
    page.screenshot(path=file, clip={"x": SIDE_BAR, "y": 0, "width": width, "height": height})
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}  {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
