"""Weights that train in the form in which they are stored.

Each holds what may change as parameters (survivors, centroids, scales), gives the weight that the
network computes with, and turns back into an encoding. With `nearest` assignment a weight keeps
full-precision values beneath: the forward pass sees the nearest centroid or grid point of each, and
its gradient goes straight through to them (arXiv:1308.3432) and to centroids and scales. With
`entropy`, points of a grid are also weighed by the bits that they take in the file
(arXiv:1812.06869).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.encoding import Affine, Bands, Dense, Encoding, Palette, Sparse
from litecompress.errors import StageError
from litecompress.masks import magnitude_mask
from litecompress.train.thresholds import Thresholds

Assignment = Literal["fixed", "nearest", "entropy"]


class Trainable(nn.Module):
    """One weight."""

    def hold(self, name: str, array: NDArray[Any] | None) -> None:
        """Keep what does not train, on the parameters' device and out of saved states."""
        self.register_buffer(name, None if array is None else _tensor(array), persistent=False)

    def forward(self) -> Tensor:
        """The weight in floating point."""
        raise NotImplementedError

    def encoding(self) -> Encoding:
        """The weight as it is stored now."""
        raise NotImplementedError


class _Take(torch.autograd.Function):
    """centroids[codes]; the gradient of a centroid is the sum over its codes (arXiv:1510.00149)."""

    @staticmethod
    def forward(ctx: Any, centroids: Tensor, codes: Tensor) -> Tensor:
        ctx.save_for_backward(codes)
        ctx.count = len(centroids)
        return centroids[codes]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (codes,) = ctx.saved_tensors
        flat = torch.bincount(codes.flatten(), weights=grads[0].flatten(), minlength=ctx.count)
        return flat.to(grads[0].dtype), None


class TrainableDense(Trainable):
    """Plain values; zeros of a mask stay, and may become more."""

    mask: Tensor | None

    def __init__(self, values: NDArray[np.floating], mask: NDArray[np.bool_] | None) -> None:
        super().__init__()
        self.dtype = values.dtype
        self.values = nn.Parameter(_tensor(values.astype(np.float32)))
        self.register_buffer("mask", None if mask is None else _tensor(mask))

    def prune_to(self, sparsity: float) -> None:
        """Zero this fraction, smallest magnitude first; what is zero stays zero."""
        values = self.values.detach().cpu().numpy()
        before = np.ones(values.shape, bool) if self.mask is None else self.mask.cpu().numpy()
        mask = magnitude_mask(values, before.astype(bool), sparsity)
        self.mask = _tensor(mask).to(self.values.device)

    def forward(self) -> Tensor:
        return self.values if self.mask is None else self.values * self.mask

    def encoding(self) -> Encoding:
        values = self.values.detach().cpu().numpy().astype(self.dtype)
        if self.mask is None:
            return Dense(values)
        mask = self.mask.cpu().numpy()
        return Sparse(mask, Dense(values[mask]))


class TrainablePalette(Trainable):
    """Centroids and, for each weight, the code of one; code 0 is the zero that a mask holds."""

    codes: Tensor
    mask: Tensor | None

    def __init__(
        self,
        palette: Palette,
        mask: NDArray[np.bool_] | None,
        assignment: Assignment,
        latent: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        shape = palette.shape if mask is None else mask.shape
        codes = np.zeros(shape, np.int64)
        codes[np.ones(shape, bool) if mask is None else mask] = palette.indices.reshape(-1) + 1
        self.num_bits, self.dtype = palette.num_bits, palette.codebook.dtype
        self.centroids = nn.Parameter(_tensor(palette.codebook.astype(np.float32)))
        self.hold("codes", codes)
        self.hold("mask", mask)
        self.latent = None
        if assignment != "fixed":
            start = palette.codebook.astype(np.float32)[np.maximum(codes - 1, 0)]
            self.latent = nn.Parameter(_tensor(start if latent is None else latent))

    def forward(self) -> Tensor:
        codes = self._codes()
        table = torch.cat([self.centroids.new_zeros(1), self.centroids])
        weight: Tensor = _Take.apply(table, codes)  # type: ignore[no-untyped-call]
        if self.latent is None:
            return weight
        through = self.latent - self.latent.detach()
        return weight + (through if self.mask is None else through * self.mask)

    def _codes(self) -> Tensor:
        """Code of each weight: as given, or of the centroid that is nearest now."""
        if self.latent is None:
            return self.codes
        ordered, order = self.centroids.detach().sort()
        between = (ordered[1:] + ordered[:-1]) / 2
        codes = order[torch.bucketize(self.latent.detach(), between)] + 1
        return codes if self.mask is None else codes * self.mask

    def encoding(self) -> Encoding:
        codes = self._codes().cpu().numpy()
        rounded = self.centroids.detach().cpu().numpy().astype(self.dtype)
        codebook, place = np.unique(rounded, return_inverse=True)
        indices = place.astype(np.uint8)[np.maximum(codes - 1, 0)]
        if self.mask is None:
            return Palette(indices, codebook, self.num_bits)
        mask = self.mask.cpu().numpy()
        return Sparse(mask, Palette(indices[mask], codebook, self.num_bits))


class TrainableAffine(Trainable):
    """A grid whose scales train, as in arXiv:1902.08153; the values beneath choose its points.

    With `entropy` the scales stay: the loss alone would make every grid finer, and the file larger.
    """

    scale: Tensor
    zero: Tensor

    def __init__(
        self,
        affine: Affine,
        assignment: Assignment = "nearest",
        latent: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        self.like = affine
        kind = np.iinfo(affine.values.dtype)
        low = -(2 ** (affine.num_bits - 1)) if kind.min < 0 else 0
        self.low, self.high = low, low + 2**affine.num_bits - 1
        if affine.num_bits == 8 and kind.min < 0:
            self.low = -127  # symmetric, as the grids that are made here
        scale = affine.scale.astype(np.float32)
        if assignment == "entropy":
            self.hold("scale", scale)
        else:
            self.scale = nn.Parameter(_tensor(scale))
        self.hold("zero", affine.zero_point.astype(np.float32))
        start = _tensor(affine.decode() if latent is None else latent)
        self.thresholds: Thresholds | None = None
        if assignment == "entropy":
            values = _tensor(affine.values.astype(np.int64))
            self.thresholds = Thresholds(values, self.low, self.high)
            kept = self.thresholds(self._exact(start)) == values
            start = torch.where(kept, start, _tensor(affine.decode()))
        self.latent = nn.Parameter(start)

    def forward(self) -> Tensor:
        exact = self._exact(self.latent)
        points = self._points(exact)
        if self.thresholds is not None and self.training:
            self.thresholds.count(points)
        through = exact + (points - exact).detach()
        return (through - self._spread(self.zero)) * self._spread(self.scale)

    def _exact(self, latent: Tensor) -> Tensor:
        """Where values are on the grid, in steps."""
        place = latent / self._spread(self.scale) + self._spread(self.zero)
        return place.clamp(self.low, self.high)

    def _points(self, exact: Tensor) -> Tensor:
        return exact.round() if self.thresholds is None else self.thresholds(exact.detach())

    def _spread(self, parameters: Tensor) -> Tensor:
        """Scales or zero points in a shape that goes with the values."""
        if self.like.group_size:
            return parameters.repeat_interleave(self.like.group_size, 1)[:, : self.like.shape[1]]
        along = [1] * len(self.like.shape)
        along[self.like.axis] = -1
        return parameters.view(along)

    @torch.no_grad()
    def encoding(self) -> Encoding:
        like, rounded = self.like, self.scale.cpu().numpy().astype(self.like.scale.dtype)
        points = self._points(self._exact(self.latent)).cpu().numpy()
        values = points.astype(like.values.dtype)
        return Affine(values, rounded, like.zero_point, like.axis, like.num_bits, like.group_size)


class TrainableBands(Trainable):
    """Rows in bands, each trained in its own form."""

    place: Tensor

    def __init__(self, band: NDArray[np.integer], parts: list[Trainable]) -> None:
        super().__init__()
        self.band = band
        self.parts = nn.ModuleList(parts)
        order = np.argsort(band, kind="stable")
        self.hold("place", np.argsort(order))

    def forward(self) -> Tensor:
        return torch.cat([part() for part in self.parts])[self.place]

    def encoding(self) -> Encoding:
        return Bands(self.band, tuple(part.encoding() for part in self.parts))  # type: ignore[operator]


def trainable(
    encoding: Encoding, assignment: Assignment, latent: NDArray[np.float32] | None = None
) -> Trainable:
    """The trainable form of an encoding; `latent` holds better values than it decodes to."""
    match encoding:
        case Dense(values):
            return TrainableDense(values, None)
        case Sparse(mask, Dense(values)):
            whole = np.zeros(mask.shape, values.dtype)
            whole[mask] = values
            return TrainableDense(whole, mask)
        case Palette():
            return TrainablePalette(encoding, None, assignment, latent)
        case Sparse(mask, Palette() as palette):
            return TrainablePalette(palette, mask, assignment, latent)
        case Affine():
            return TrainableAffine(encoding, assignment, latent)
        case Bands(band, parts):
            rows = [None if latent is None else latent[band == i] for i in range(len(parts))]
            inner = [trainable(p, assignment, r) for p, r in zip(parts, rows, strict=True)]
            return TrainableBands(band, inner)
    raise StageError(f"recover: expected an encoding that trains, got {type(encoding).__name__}")


def _tensor(array: NDArray[Any]) -> Tensor:
    """A tensor of its own: arrays of an encoding are read-only."""
    return torch.from_numpy(np.array(array))
