"""MLflow's real UI on a small tuned study, in a real browser: what the note and the views promise is what one sees."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from bench.tracking import note, store, views
from bench.tracking.server import runs_page
from tests.support import chromium
from tests.support.commands import bench
from tests.support.servers import mlflow_server

STUDY = """
name: shown
question: Does the UI show what there is?
datasets:
  - name: synthetic/glyph
    options: {pool_per_class: 12, test_per_class: 5}
    similarity: dissimilar
    n_per_class: [5, 10]
backbones:
  - {name: test_resnet, random: true}
strategies: [full + head_x10, logreg]
seeds: 1
train: {image_size: 32, precision: fp32, optimizer: adamw, batch_size: 16, epochs: 5}
hyperparameters: {full: {lr: 0.0001}}  # far too low, so that the search finds better
tune: {trials: 3, sampler: tpe, splits: 1, choice: highest}  # on so few images the defaults would be kept else
matrix: {small_at_most: 5}
system_metrics: false
"""
NAME = "[col-id='attributes.`Run Name`']"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(chromium.NAMES)} is on the PATH, nor in BENCH_CHROMIUM")
    with chromium.launched(path) as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study has run to its end. (After `browser`: without one there is nothing to run it for.)"""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "shown.yaml").write_text(STUDY)
    result = bench(folder, "run", "shown.yaml", "--workers", "0")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="module")
def url(uri: str, folder: Path) -> Iterator[str]:
    """The address that `bench ui` prints of the study."""
    with mlflow_server(uri, folder) as server:
        yield f"{server}/{runs_page(store.experiment_ids(uri)['shown'])}"


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[tuple[BrowserContext, list[str]]]:
    with chromium.window(browser) as opened:
        yield opened


@pytest.fixture
def page(window: tuple[BrowserContext, list[str]], url: str) -> Iterator[Page]:
    """The study's page as it opens at first. Whatever a test does there must ask no host but the server."""
    context, asked = window
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_text("matching runs")).to_be_visible()
    yield page
    page.evaluate("localStorage.clear()")  # what the UI remembers of filters and columns
    for opened in context.pages:
        opened.close()
    hosts = {urlsplit(address).hostname for address in asked if address.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}


def names(page: Page) -> Locator:
    return page.locator(f".ag-row {NAME}")


def open_view(page: Page, name: str) -> None:
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_role("menuitem", name=name).click()
    expect(page.get_by_test_id("saved-views-trigger")).to_contain_text(name)


def unfold_note(page: Page) -> None:
    page.get_by_test_id("experiment-metadata-editor-edit-button").locator(
        "xpath=following::button[1]"
    ).click()


def filter_by(page: Page, text: str) -> None:
    expect(names(page).first).to_be_visible()  # what is typed before the page has its runs is lost
    box = page.get_by_test_id("search-box")
    box.fill(text)
    box.press("Enter")


def test_the_runs_of_a_study_are_listed(page: Page, uri: str) -> None:
    runs = [run for run in store.read_runs(uri, "shown") if run.tags["purpose"] != "trial"]
    for run in runs:
        expect(page.get_by_role("link", name=run.name, exact=True)).to_be_visible()
    assert len({run.name for run in runs}) == len(runs), "names tell runs apart"


def test_the_notes_filter_of_a_cell_shows_that_cell(page: Page, uri: str) -> None:
    unfold_note(page)
    text = page.locator("code", has_text="tags.cell").first.inner_text()
    (cell,) = re.findall(r'tags\.cell = "([\w-]+)"', text)
    wanted = [
        run.name
        for run in store.read_runs(uri, "shown")
        if run.tags["purpose"] == "final" and run.tags["cell"] == cell
    ]
    unfold_note(page)  # and folds it again
    filter_by(page, text)
    expect(names(page)).to_have_count(len(wanted))
    assert sorted(names(page).get_by_role("link").all_inner_texts()) == sorted(wanted) and len(wanted) > 1


def test_the_notes_filters_find_what_they_promise(uri: str) -> None:
    from mlflow import MlflowClient

    client, runs = MlflowClient(uri), store.read_runs(uri, "shown")
    by_purpose = Counter(run.tags["purpose"] for run in runs)
    assert by_purpose == {"study": 1, "tuning": 2, "trial": 6, "final": 6}
    study = store.read_study(uri, "shown")
    found = {
        question: len(client.search_runs([store.experiment_ids(uri)["shown"]], text))
        for question, text, _ in note.filters_of(study)
    }
    assert found == {
        "Which runs count?": 6,
        "Who leads in one cell?": 3,
        "Which part of a strategy matters?": 6,
        "What does it cost?": 6,
        "What did not finish?": 0,
        "What does tuning change?": 2,
        "What did the searches choose?": 2,
        "What did they try?": 6,
    }


def test_a_cells_view_groups_strategies_by_setting(page: Page) -> None:
    open_view(page, "dissimilar, large: strategies")
    rows = names(page)
    expect(rows).to_have_count(3)
    for group in (
        "full + head_x10, setting: tuned",
        "full + head_x10, setting: default",
        "logreg, setting: both",
    ):
        expect(rows.get_by_text(f"Group: strategy: {group}", exact=True)).to_be_visible()
    means = page.locator(".ag-row [col-id='metrics.`test_accuracy`']").all_inner_texts()
    values = [float(mean.removesuffix(" (average)")) for mean in means]
    assert values == sorted(values, reverse=True)


def test_trials_are_nested_under_their_search(page: Page, uri: str) -> None:
    open_view(page, "Searches and their trials")
    searches = page.locator(".ag-row", has_text="search: full + head_x10")
    expect(searches).to_have_count(2)
    expect(page.locator(".ag-row", has_text="trial 0")).to_have_count(0)
    searches.first.locator(f"{NAME} button").first.click()
    for number in range(3):
        expect(page.locator(".ag-row", has_text=f"trial {number} | full + head_x10")).to_have_count(1)


def test_comparing_two_runs_shows_parameters_and_metrics(page: Page, uri: str) -> None:
    chosen = [run for run in store.read_runs(uri, "shown") if run.tags.get("setting") == "tuned"]
    chosen = [run for run in chosen if run.tags["purpose"] == "final"]
    filter_by(page, views.TUNED)
    expect(names(page)).to_have_count(2)
    for number in range(2):
        page.locator(".ag-row .ag-checkbox-input").nth(number).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("Comparing 2 Runs from 1 Experiment")).to_be_visible()
    rate = page.get_by_role("row", name="hyperparameter.full.lr")
    for run in chosen:
        expect(
            rate.get_by_role("cell", name=run.params["hyperparameter.full.lr"], exact=True)
        ).to_be_attached()
    for metric in ("ncm_test_accuracy", "peak_memory_bytes"):  # the grid draws the first dozen rows alone
        expect(page.get_by_role("grid").get_by_role("link", name=metric, exact=True)).to_be_attached()


def test_the_report_opens_from_the_note_with_its_figures(page: Page) -> None:
    unfold_note(page)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="The report").click()
    report = opened.value.frame_locator("iframe")
    expect(report.get_by_role("heading", name="shown")).to_be_visible()
    expect(report.get_by_role("heading", name="Verdicts")).to_be_visible()
    figure = report.locator("img").first
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.complete && image.naturalWidth") > 100
