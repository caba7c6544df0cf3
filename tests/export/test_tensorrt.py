"""What TensorRT asks of an ONNX file, as far as it can be checked without a GPU."""

import onnx
import pytest
import torch

from mmsparseswin.backbones import SparseSwin, STViTR, Swin
from mmsparseswin.export.exporting import export
from mmsparseswin.export.subjects import Pixels, Subject

# Supported without restrictions that concern us, by onnx-tensorrt's list of operators for TensorRT 9.2.
SUPPORTED = frozenset(
    'Add And Cast Concat Constant ConstantOfShape Conv Div Equal Erf Expand Flatten Gather Gemm HardSwish Identity '  # noqa: SIM905
    'LayerNormalization MatMul Max Min Mod Mul Neg Pad Pow Range ReduceMax ReduceMean ReduceSum Relu Reshape Shape '
    'Slice Softmax Split Sqrt Squeeze Sub Tanh Tile Transpose Unsqueeze Where'.split()
)
THREE = dict(embed_dims=16, depths=(1, 2, 1), num_heads=(1, 2, 4))
TOKENS = dict(num_tokens=9, token_dims=32, token_heads=4, token_depth=1)


@pytest.mark.parametrize(
    'build',
    [
        lambda: Swin(arch=THREE, window_size=4),
        lambda: SparseSwin(arch=THREE | TOKENS, window_size=4),
        lambda: STViTR(arch=THREE | dict(depths=(1, 1, 6)), window_size=4),
    ],
    ids=['swin', 'sparse_swin', 'stvit_r'],
)
def test_files_hold_only_what_tensorrt_supports(build, tmp_path):
    torch.manual_seed(0)
    model = build().eval()
    names = tuple(f'stage{index + 1}' for index in model.out_indices)
    subject = Subject(model, 'backbone', names, Pixels('rgb', (0.0,) * 3, (255.0,) * 3), None, {})
    export(subject, 'onnx', tmp_path / 'model.onnx', (72, 100), batch=True)
    content = onnx.load(tmp_path / 'model.onnx')
    onnx.checker.check_model(content, full_check=True)
    assert {node.op_type for node in content.graph.node} <= SUPPORTED
    assert {node.domain for node in content.graph.node} == {''}, 'no operators of our own'
    inferred = onnx.shape_inference.infer_shapes(content, check_type=True, strict_mode=True, data_prop=True)
    typed = {one.name for one in (*inferred.graph.value_info, *inferred.graph.output)}
    assert {output for node in content.graph.node for output in node.output if output} <= typed
    sizes = [
        [one.dim_param or one.dim_value for one in port.type.tensor_type.shape.dim] for port in inferred.graph.input
    ]
    assert sizes == [['batch', 3, 72, 100]]
    types = {one.data_type for one in content.graph.initializer}
    assert types <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL}, 'no double'
