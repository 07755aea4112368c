"""Images to augmented, normalised batches, without a network: ours against Pillow and torchvision, image by
image.

"JPEG": theirs decodes every file in every epoch, ours works on what was decoded once, at the size that
crops are drawn from (one epoch's worth of decoding is stated beside it). "memory": both start from the same uint8 images, as with CIFAR. Theirs is
random-resized-crop, flip, ToTensor, Normalize in a DataLoader without workers; ours the same distribution
as two batched matrix products.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional as V

from bench.data.augment import RATIO, SCALE, draw, random_boxes, resized_crop, taken, view
from bench.data.decoding.decode import read_files
from bench.data.family import Resolution
from bench.data.images import ImageSet
from tests.benchmarks.speed import malloc
from tests.benchmarks.speed.images import SIDE, folder, pixels
from tests.benchmarks.speed.job import CROP_PCT, Job
from tests.benchmarks.speed.lines import Settings
from tests.benchmarks.speed.measure import Figure, Spent, alternate, figure, over

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GOALS = {"JPEG to 64": 8.7, "JPEG to 128": 2.4, "memory 32": 9.1, "memory 64": 4.1}
ERROR = 0.6
BATCH = 64
CPU = torch.device("cpu")


def pipeline(settings: Settings) -> list[Figure]:
    n = 200 if settings.quick else 1000
    rounds = settings.rounds(5)
    jpeg = [_jpeg(size, n, rounds) for size in (64, 128)]
    memory = [_memory(size, n, rounds) for size in (32, 64)]
    return [*jpeg, *memory, *(_error(stored, size) for stored, size in ((110, 64), (SIDE, 128), (32, 32)))]


def _jpeg(size: int, n: int, rounds: int) -> Figure:
    job = Job(folder(n), "resnet18", size, epochs=1, pretrained=False)
    x, decoding = _decoded(job, Resolution(size, round(size / CROP_PCT), crops=True).sides(SIDE))
    loader = DataLoader(job.train_images(), BATCH, shuffle=True, drop_last=True)
    found = _compare(f"JPEG to {size}", loader, x, size, rounds)
    found_more = f"decoding once {decoding.cpu / n * 1e3:.2f} ms an image; {found[1]}"
    return figure(f"input: JPEG to {size}", *found[0], goal=GOALS[f"JPEG to {size}"], more=found_more)


def _memory(size: int, n: int, rounds: int) -> Figure:
    x = torch.nn.functional.interpolate(pixels("train", 200).x[:n].float(), size, mode="area").to(torch.uint8)
    loader = DataLoader(_InMemory(x, size), BATCH, shuffle=True, drop_last=True)
    ratios, more = _compare(f"memory {size}", loader, x, size, rounds)
    return figure(f"input: memory {size}", *ratios, goal=GOALS[f"memory {size}"], more=more)


class _InMemory(Dataset[Tensor]):
    """As torchvision's CIFAR10: an array of pixels, a Pillow image for each look."""

    def __init__(self, x: Tensor, size: int) -> None:
        self.x = x.permute(0, 2, 3, 1).contiguous().numpy()
        crop = transforms.RandomResizedCrop(size, SCALE, RATIO)
        flip, tensor = transforms.RandomHorizontalFlip(), transforms.ToTensor()
        self.transform = transforms.Compose([crop, flip, tensor, transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Tensor:
        return self.transform(Image.fromarray(self.x[i]))


def _compare(
    name: str, loader: Iterable[object], x: Tensor, size: int, rounds: int
) -> tuple[tuple[list[float], float], str]:
    def theirs(_: int) -> Spent:
        malloc.theirs()
        return _timed(lambda: sum(1 for _ in loader))

    def ours(seed: int) -> Spent:
        malloc.ours()
        return _timed(lambda: _epoch(images, size, seed))

    images = ImageSet(x, torch.zeros(len(x), dtype=torch.int64))
    theirs(0), ours(0)
    spent = alternate({"theirs": theirs, "ours": ours}, rounds)
    seen = len(x) // BATCH * BATCH
    each = {side: statistics.median(s.cpu for s in done) / seen * 1e3 for side, done in spent.items()}
    return over(spent["theirs"], spent["ours"]), f"ms an image {each['theirs']:.3f} and {each['ours']:.3f}"


def _epoch(images: ImageSet, size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    for index in order[: len(images) // BATCH * BATCH].split(BATCH):
        drawn = draw("crop", len(index), images.side, generator)
        view(taken(images, index, drawn, size, CPU), drawn, size, MEAN, STD)


def _timed(work: Callable[[], object]) -> Spent:
    spent = Spent()
    with spent.measured():
        work()
    return spent


def _decoded(job: Job, sides: list[int]) -> tuple[Tensor, Spent]:
    """The largest of the sizes that a run under crops keeps, pixel by pixel, and what making all of them costs."""
    paths = [Path(path) for path, _ in job.train_images().samples]
    spent, chunks = Spent(), []
    with spent.measured():
        chunks = [torch.from_numpy(images[-1]) for images in read_files(paths, sides, "bilinear")]
    return torch.cat(chunks).contiguous(memory_format=torch.channels_last), spent


def _error(stored: int, size: int) -> Figure:
    """Mean distance of our crops from torchvision's of the same boxes of the same pixels, in grey levels of
    255."""
    x = pixels("train", 200).x[:64].float()
    x = torch.nn.functional.interpolate(x, stored, mode="area").to(torch.uint8)
    boxes = random_boxes(len(x), stored, torch.Generator().manual_seed(0))
    plain = torch.zeros(len(x), dtype=torch.bool)
    ours = resized_crop(x, boxes, plain, size, (0.0,) * 3, (1.0,) * 3) * 255
    theirs = [
        V.pil_to_tensor(V.resized_crop(V.to_pil_image(image), *map(int, box), [size, size]))
        for image, *box in zip(x, *boxes, strict=True)
    ]
    off = (ours - torch.stack(theirs).float()).abs()
    return Figure(
        f"input: error, {stored} to {size}",
        off.mean().item(),
        rounds=1,
        goal=ERROR,
        ceiling=True,
        unit="grey levels",
        more=f"mean of 64 crops against Pillow's, which rounds twice; largest {off.max():.1f}",
    )
