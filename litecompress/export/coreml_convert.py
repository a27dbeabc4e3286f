"""The graphs of a package, and the conversion of one of them to a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from litecompress.backends import load_backend
from litecompress.export import graphs, language_graph
from litecompress.export.coreml_plan import Layout, is_kernel, kernel_softmax
from litecompress.export.coreml_stateful import Stateful, divided
from litecompress.export.coreml_stored import NUMBERS, Deployment
from litecompress.export.coreml_weights import PASS, KnownWeights
from litecompress.model.config import ModelConfig
from litecompress.model.layers import ConvBranch
from litecompress.silence import silenced

ct = load_backend("coremltools")

NEEDLESS = (  # passes for operators that no graph of ours has; every pass checks the whole program
    "add_conv_transpose_output_shape",
    "canonicalize_quantized_lut_pattern",
    "compose_conv1d",
    "concat_to_pixel_shuffle",
    "dequantize_quantize_pair_elimination",
    "dequantize_to_constexpr",
    "detect_concat_interleave",
    "distributive_quantized_binary_op_scale_normalization",
    "fuse_conv_batchnorm",
    "fuse_conv_bias",
    "fuse_conv_scale",
    "fuse_dilated_conv",
    "fuse_elementwise_to_batchnorm",
    "fuse_gelu_exact",
    "fuse_gelu_tanh_approximation",
    "fuse_leaky_relu",
    "fuse_onehot_matmul_to_gather",
    "fuse_pad_conv",
    "fuse_prelu",
    "image_input_preprocess",
    "loop_invariant_elimination",
    "lower_complex_dialect_ops",
    "merge_affine_dequantize_with_consecutive_ops",
    "nullify_redundant_quantization_zero_point",
    "prelu_to_lrelu",
    "use_reflection_padding",
)


@dataclass(frozen=True)
class Source:
    """What one function of a package is converted from; `states` are no longer inputs."""

    role: str
    length: int
    graph: nn.Module
    example: dict[str, Tensor]
    outputs: list[str]
    states: dict[str, Tensor]


@dataclass(frozen=True)
class Converter:
    """From a graph to a program; `weights` are those that have forms of their own."""

    weights: KnownWeights
    number: str
    deployment: Deployment

    def __call__(self, source: Source) -> Any:
        """The program as an `MLModel` that cannot run here."""
        dtype = NUMBERS[self.number].type
        example = tuple(source.example.values())
        with silenced(), torch.no_grad():
            traced = torch.jit.trace(source.graph, example, check_trace=False)  # type: ignore[no-untyped-call]
            return ct.convert(
                traced,
                inputs=[
                    ct.TensorType(n, t.shape, dtype if t.is_floating_point() else np.int32)
                    for n, t in source.example.items()
                ],
                outputs=[ct.TensorType(n, dtype=dtype) for n in source.outputs],
                states=[
                    ct.StateType(
                        wrapped_type=ct.TensorType(shape=t.shape, dtype=np.float16), name=n
                    )
                    for n, t in source.states.items()
                ]
                or None,
                minimum_deployment_target=getattr(ct.target, self.deployment),
                compute_precision=_float16() if self.number == "fp16" else ct.precision.FLOAT32,
                pass_pipeline=self._pipeline(),
                skip_model_load=True,
            )

    def _pipeline(self) -> Any:
        pipeline = ct.PassPipeline()
        pipeline.remove_passes([f"common::{name}" for name in NEEDLESS])
        pipeline.append_pass(PASS)
        pipeline.set_options(PASS, {"weights": self.weights})
        return pipeline


def sources(
    config: ModelConfig, layout: Layout, lengths: tuple[int, ...], *, stateful: bool
) -> Iterator[Source]:
    """What a package is made from: for each length encoder and decoder, or one step."""
    weights = layout.planned.decode()
    if config.is_language_model:
        language_model = language_graph.build_language_model(config, weights)
        _fix_kernels(language_model, weights)
        for length in lengths:
            graph: Any = language_graph.StepGraph(language_model)
            example = language_graph.step_example(language_model, 1, length)
            names = language_graph.step_names(config)
            yield _source("step", length, graph, example, names, stateful=stateful)
        return
    model = graphs.build(config, weights)
    _fix_kernels(model, weights)
    for length in lengths:
        encoder, names = graphs.EncoderGraph(model), graphs.encoder_names(config)
        yield _source("encoder", length, encoder, graphs.encoder_example(1, length), names)
        example = graphs.decoder_example(model, 1, length, length)
        decoder, names = graphs.DecoderGraph(model), graphs.decoder_names(config)
        yield _source("decoder", length, decoder, example, names, stateful=stateful)


def _source(
    role: str,
    length: int,
    graph: Any,
    example: tuple[Tensor, ...],
    names: tuple[list[str], list[str]],
    *,
    stateful: bool = False,
) -> Source:
    example = tuple(t if t.is_floating_point() else t.int() for t in example)
    given, outputs = dict(zip(names[0], example, strict=True)), names[1]
    states: dict[str, Tensor] = {}
    if stateful:
        graph = Stateful(graph, names[0], example)
        inputs, caches = divided(names[0])
        states = {name: given[name] for name in caches}
        given, outputs = {name: given[name] for name in inputs}, outputs[:1]
    return Source(role, length, graph.eval(), given, outputs, states)


def _fix_kernels(model: nn.Module, weights: Any) -> None:
    """Give lightweight convolutions their softmax, which would be computed by the converter."""
    for name, module in model.named_modules():
        kernel = f"{name}.kernel"
        if isinstance(module, ConvBranch) and kernel in weights and is_kernel(kernel):
            module.valid = _FixedTaps(torch.from_numpy(kernel_softmax(weights[kernel])))


class _FixedTaps:
    """`convolve_valid` with taps (K, H, 1) that are constants."""

    def __init__(self, taps: Tensor) -> None:
        self.taps = taps

    def __call__(self, x: Tensor, logits: Tensor) -> Tensor:
        B, padded, C = x.shape
        K, H, _ = self.taps.shape
        T = padded - K + 1
        window = torch.arange(T)[:, None] + torch.arange(K)
        windows = x[:, window].view(B, T, K, H, C // H)
        return (windows * self.taps).sum(dim=2).reshape(B, T, C)


def _float16() -> Any:
    """Half precision but for what it would spoil: see `_is_delicate`."""
    return ct.transform.FP16ComputePrecision(op_selector=lambda op: not _is_delicate(op))


def _is_delicate(op: Any) -> bool:
    """Angles of positions, whose error grows with the position, and logarithms of probabilities.

    In half precision a probability below 6e-8 is zero, and its logarithm infinite.
    """
    readers = {reader.op_type for output in op.outputs for reader in output.child_ops}
    if op.op_type in ("sin", "cos", "log") or readers & {"sin", "cos"}:
        return True
    return op.op_type == "softmax" and "log" in readers
