"""Full disks, and files that a disk or a power cut has damaged: nothing half-written is ever read.

The disks are really full: a small tmpfs, or where that cannot be mounted a limit on the size of files (tests.support.faults).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.core.errors import UserError
from bench.core.spec import BackboneSpec, DatasetSpec
from bench.data.prepare import Resolution, load, load_test, prepare
from bench.models.checkpoints.loading import load_checkpoint
from bench.planning import measured_similarity as record
from bench.planning import precision
from bench.planning.precision import Key, Timing
from bench.storage import checksums as checks
from bench.storage import weights as kept
from bench.storage.checksums import intact
from bench.storage.files import created, read_document, replaced, write_document
from bench.training import precision_timing
from bench.training.cached_features.store import GIB, ActivationStore
from tests.support.faults import STUDY, can_mount, on_small_disk
from tests.support.strategy_samples import make_model

WORLD = DatasetSpec("synthetic/fine", {"pool_per_class": 4, "test_per_class": 2})
SMALL = Resolution(16, 16)

WRITE_EVERYTHING = """
import json, os, sys, tempfile
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
from bench.core.records.predictions import Predictions
from bench.tracking.log import RunLog
from bench.training.cached_features.store import GIB, ActivationStore
from bench.storage import weights as kept
from bench.data.prepare import Resolution, prepare
from bench.training.run.prepared_run import Outcome
from bench.storage.files import room_for, write_document
from bench.core.spec import DatasetSpec
from bench.tracking import experiment
from bench.training.checkpoint import Snapshot
from bench.execution import worker
from tests.support.cached_loop import trained

here, said = Path.cwd(), {}

def attempt(name, write):
    try:
        result = write()
        said[name] = str(result) if isinstance(result, (str, type(None), list)) else "written"
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"
    left = [p for p in here.rglob("*") if p.is_file() and ".locks" not in p.parts]
    said[name + ", left"] = [p.name for p in left]

def losses(store):
    return [round(e["train/loss"], 5) for e in trained("last_stages", "test_resnet", store)[1]]

attempt("features", lambda: losses(ActivationStore(here / "activations", GIB)))
attempt("no features", lambda: losses(None))
weights = {"w": torch.zeros(2**20)}
snapshot = Snapshot(1, "p", weights, {}, 0.5, 1.0)
momentum = Snapshot(1, "p", {"w": torch.zeros(1)}, weights, 0.5, 1.0)

def keep(snapshot):
    tempfile.tempdir = str(here)
    log = type("Log", (), {"tags": lambda *a: None})()
    worker._keep(Outcome({}, "cpu", "", {"best": snapshot}), log)

def keep_predictions():
    tempfile.tempdir = sys.argv[1]
    info = type("Info", (), {"artifact_uri": str(here / "artifacts")})
    client = type("C", (), {"tracking_uri": None})()
    log = type("Log", (RunLog,), {"__init__": lambda self: None, "mlflow_run_id": "1"})()
    log.client, log._opening = client, info
    draw, n = np.random.default_rng(0), 20_000
    label, logs = draw.integers(0, 100, n), draw.random(n)
    worker._keep(Outcome({}, "cpu", "", {}, Predictions.of("x", 100, label, label, -logs, -logs)), log)

attempt("checkpoint", lambda: keep(snapshot))
attempt("its optimiser", lambda: keep(momentum))
attempt("predictions", keep_predictions)
tempfile.tempdir = str(here)

def decode():
    spec = DatasetSpec("synthetic/fine", {"pool_per_class": 60, "test_per_class": 2})
    prepare(spec, Resolution(32, 32), here, here / "cache")

attempt("images", decode)

def weigh():
    with room_for("the weights", here):
        kept.save(weights, here / "source" / "w.safetensors", {})

attempt("source", weigh)
attempt("document", lambda: write_document(here / "d.json", {"x": "y" * 2**20}))
attempt("store", lambda: experiment.open_store(f"sqlite:///{here}/mlflow.db", "s"))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What became of everything that is written, on a disk of 24 KiB."""
    disk, elsewhere = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("elsewhere")
    done = on_small_disk(disk, 24 * 1024, WRITE_EVERYTHING, str(elsewhere))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_without_room_for_the_feature_cache_a_run_goes_on_with_the_same_numbers(
    told: dict[str, object],
) -> None:
    with_cache, without = (json.loads(str(told[k])) for k in ("features", "no features"))
    assert with_cache == pytest.approx(without, rel=1e-3)


def test_a_checkpoint_without_room_is_one_clear_message(told: dict[str, object]) -> None:
    for which in ("checkpoint", "its optimiser"):
        assert str(told[which]).startswith("UserError: no space left for the checkpoints on the disk of")


def test_predictions_without_room_are_one_clear_message(told: dict[str, object]) -> None:
    """And no run that says it is finished."""
    assert str(told["predictions"]).startswith("UserError: no space left for the predictions on the disk of")


def test_images_and_weights_without_room_are_refused_before_any_run(told: dict[str, object]) -> None:
    assert str(told["images"]).startswith("UserError: no space left for the decoded images of synthetic/fine")
    assert str(told["source"]).startswith("UserError: no space left for the weights")


def test_nothing_half_written_is_left(told: dict[str, object]) -> None:
    left = {name: found for name, found in told.items() if name.endswith(", left") and found}
    assert not left
    assert "OSError" in str(told["document"])


@pytest.mark.skipif(
    not can_mount(), reason="SQLite calls EFBIG an I/O error; needs a small disk, and that root"
)
def test_a_store_that_finds_no_room_is_not_begun(told: dict[str, object]) -> None:
    """Of half the tables MLflow would say for ever after that one "already exists"."""
    assert "disk is full" in str(told["store"])


WHOLE_STUDIES = """
import json, os, subprocess, sys, tempfile
from collections import Counter
from pathlib import Path
import torch
torch.set_num_threads(1)
from bench.execution import driver
from bench.tracking import store
from bench.execution.executors.inline import InlineExecutor
from bench.storage.files import disk_full
from bench.planning import load, plan
from tests.support.displays import Says

here, cache = Path.cwd(), Path(sys.argv[1])
uri, said = f"sqlite:///{here}/mlflow.db", {}
(here / "s.yaml").write_text(sys.argv[2])
planned = plan.make(load.load(here / "s.yaml", []), here / "s.yaml", cache)

def run(name):
    try:
        counts = driver.run_study(planned, uri, InlineExecutor, Says(), here / "out").counts
        said[name] = {str(k): v for k, v in counts.items()}
    except Exception as error:
        said[name] = f"{type(error).__name__}: {disk_full(error)}"
    if (here / "mlflow.db").exists():
        runs = [r for r in store.read_runs(uri, "faulty") if r.tags.get("purpose") == "final"]
        said[name + ", runs"] = Counter(r.tags["bench.status"] for r in runs)
        said[name + ", errors"] = sorted({r.tags.get("bench.error", "") for r in runs})
    else:
        said[name + ", runs"] = None

def disk(*args):
    subprocess.run(["mount", *args], check=True)

tempfile.tempdir = str(cache)
run("no room for a store")
disk("-o", "remount,size=30m", str(here))
(here / "tmp").mkdir()
disk("-t", "tmpfs", "-o", "size=200k", "tmpfs", str(here / "tmp"))
tempfile.tempdir = str(here / "tmp")
run("no room for checkpoints")
tempfile.tempdir = str(cache)
room = os.statvfs(here)
(here / "ballast").write_bytes(bytes(room.f_bavail * room.f_bsize - 2**16))
run("no room for runs")
(here / "ballast").unlink()
run("room")
print(json.dumps(said))
"""


@pytest.mark.long
@pytest.mark.skipif(not can_mount(), reason="needs small disks, and that root")
def test_a_study_ends_cleanly_on_full_disks_and_goes_on_with_room(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    args = [str(tmp_path), STUDY + "checkpoints: best\n"]
    done = on_small_disk(tmp_path / "disk", 300 * 1024, WHOLE_STUDIES, *args)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert "disk is full" in told["no room for a store"] and told["no room for a store, runs"] is None
    assert told["no room for checkpoints"] == {"failed": 2}, "a run that fails ends no study"
    (error,) = told["no room for checkpoints, errors"]
    assert error.startswith("no space left for the checkpoints on the disk of")
    assert "full" in str(told["no room for runs"]) or "failed" in told["no room for runs"]
    assert "finished" not in told["no room for runs, runs"]
    assert told["room"] == {"finished": 2} and told["room, runs"]["finished"] == 2
    assert "running" not in told["room, runs"]


# Damage, without a full disk: what is on it is no longer what was written.


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    i = len(content) // 2
    return content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]


def zeros(content: bytes) -> bytes:
    """The right size, the end never written: what a power cut leaves where nobody waited for the disk."""
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


DAMAGES = [cut, flip, zeros, lambda content: b""]
NAMES = ["cut off", "one bit", "zeros", "empty"]
damaged = pytest.mark.parametrize("damage", DAMAGES, ids=NAMES)

Damage = Callable[[bytes], bytes]


def hurt(path: Path, damage: Damage) -> None:
    """In its place, as a disk does it: links and times say nothing."""
    before = path.stat()
    path.write_bytes(damage(path.read_bytes()))
    assert path.stat().st_ino == before.st_ino


@damaged
@pytest.mark.parametrize("name", ["pool.npy", "pool_labels.npy", "test.npy", "meta.json", "sums.json"])
def test_damaged_images_are_decoded_anew(name: str, damage: Damage, tmp_path: Path) -> None:
    path = prepare(WORLD, SMALL, tmp_path, tmp_path)
    expected = (path / name).read_bytes()
    hurt(path / name, damage)
    assert prepare(WORLD, SMALL, tmp_path, tmp_path) == path
    assert (path / name).read_bytes() == expected
    assert len(load(path).pool) == 40 and len(load_test(path)) == 20


@damaged
def test_damaged_activations_are_computed_anew(damage: Damage, tmp_path: Path) -> None:
    rows = torch.arange(3000.0).reshape(
        1000, 3
    )  # the rows that are compared with the network's are the last ones
    store, made = ActivationStore(tmp_path, GIB), []

    def make() -> Iterator[Tensor]:
        made.append(1)
        yield rows

    def get() -> Tensor:
        entry = store.get_or_make({"name": "a"}, rows.nbytes, make, "train")
        assert entry is not None
        return entry.rows

    get()
    (file,) = tmp_path.glob("*/rows.npy")
    hurt(file, damage)
    assert torch.equal(get(), rows) and len(made) == 2
    get()
    assert len(made) == 2


def test_a_folder_is_read_in_full_once_per_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = prepare(WORLD, SMALL, tmp_path, tmp_path)
    read: list[Path] = []
    checksum = checks.checksum
    monkeypatch.setattr(checks, "checksum", lambda path: read.append(path) or checksum(path))
    assert intact(path) and len(read) == 5
    assert intact(path) and len(read) == 5, "the word of the first is enough"
    (path / "checked.json").write_text("{")
    assert intact(path) and len(read) == 10, "but for a damaged one"
    monkeypatch.setattr(checks, "boot", lambda: "another")
    assert intact(path) and len(read) == 15, "after a boot the disk is asked again"


def test_a_folder_of_former_times_has_no_checksums_and_is_made_anew(tmp_path: Path) -> None:
    path = prepare(WORLD, SMALL, tmp_path, tmp_path)
    (path / "sums.json").unlink()
    np.save(path / "pool.npy", np.load(path / "pool.npy") + 1)
    wrong = (path / "pool.npy").read_bytes()
    assert (prepare(WORLD, SMALL, tmp_path, tmp_path) / "pool.npy").read_bytes() != wrong


@damaged
def test_damaged_weights_are_not_read(damage: Damage, tmp_path: Path) -> None:
    model = make_model("test_resnet")
    path = tmp_path / "source" / "w.safetensors"
    kept.save(model.net.state_dict(), path, {"source": "{}"})
    assert kept.intact(path)
    load_checkpoint(model.net, path)
    hurt(path, damage)
    assert not kept.intact(path), (
        "so they are trained anew (bench.training.run.pretrain, bench.training.run.teacher)"
    )
    with pytest.raises(UserError, match=r"w\.safetensors"):
        load_checkpoint(model.net, path)


def test_weights_of_others_need_no_checksum(tmp_path: Path) -> None:
    net = make_model("test_resnet").net
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "w.safetensors")
    assert load_checkpoint(net, tmp_path / "w.safetensors").loaded


@damaged
def test_damaged_documents_are_measured_anew(damage: Damage, tmp_path: Path) -> None:
    key = Key("test_resnet", {"groups": (1, 2)}, 32, 8, "a device", "a version")
    precision_timing._write(key, Timing(2.0, 1.0, 8), key.path(tmp_path))
    assert precision.read(key, tmp_path) == Timing(2.0, 1.0, 8)
    hurt(key.path(tmp_path), damage)
    assert precision.read(key, tmp_path) is None
    backbone = BackboneSpec("test_resnet", "random", label="x")
    record.write(1.5, WORLD, backbone, 32, tmp_path)
    assert record.read(WORLD, backbone, 32, tmp_path) == 1.5
    hurt(record.path_of(WORLD, backbone, 32, tmp_path), damage)
    assert record.read(WORLD, backbone, 32, tmp_path) is None
    measures = record.MeasuresKey(WORLD, 5, backbone, 0, 32)
    record.write_measures({"images": 3, "values": {"emd": 0.5}}, measures, tmp_path)
    hurt(measures.path(tmp_path), damage)
    assert record.read_measures(measures, tmp_path) is None


def test_documents_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "d.json"
    write_document(path, {"a": (1, 2), "b": {3: None}, "c": 0.1})
    assert read_document(path) == {"a": [1, 2], "b": {"3": None}, "c": 0.1}
    path.write_text('{"a": 1}')
    assert read_document(path) == {"a": 1}, "those of former times have no checksum"
    path.write_text("[1]")
    assert read_document(path) is None


def test_files_appear_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for appear in (replaced, created):
        with pytest.raises(RuntimeError), appear(path) as aside:
            aside.write_text("half")
            Path(f"{aside}-journal").write_text("beside it") if appear is created else None
            raise RuntimeError
        assert not list(tmp_path.iterdir())
    for text, appear, then in (
        ("one", created, "one"),
        ("two", created, "one"),
        ("three", replaced, "three"),
    ):
        with appear(path) as aside:
            aside.write_text(text)
        assert path.read_text() == then and list(tmp_path.iterdir()) == [path]
