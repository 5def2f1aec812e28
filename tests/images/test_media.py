"""FFmpeg and OpenCV compiled from their real sources with no network, a media tree linked to them, and their use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.artifacts.lockfile import FileKind
from core.images import build
from core.images.build_history import LOG_FILE, BuildRecord, builds_folder, list_builds
from core.site import Site
from tests.images import support
from tests.images.conftest import new_site
from tests.support.engine import TestEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.proof("media")]

NAME = "media"
SECRET = "key-5f2b7c1e9d-of-the-licence"
FFMPEG = [
    "--disable-everything",
    "--disable-autodetect",
    "--disable-ffplay",
    "--disable-asm",
    "--disable-optimizations",  # what is tested is the way, not the speed
    "--enable-zlib",
    "--enable-protocol=file",
    "--enable-indev=lavfi",
    "--enable-filter=testsrc,scale,format,null",
    "--enable-encoder=mpeg4",
    "--enable-decoder=mpeg4,rawvideo,wrapped_avframe",
    "--enable-parser=mpeg4video",
    "--enable-muxer=avi",
    "--enable-demuxer=avi",
]
OPENCV = [
    "-DBUILD_LIST=core,imgproc,imgcodecs,videoio,python3",
    *(f"-DWITH_{part}=OFF" for part in ("PROTOBUF", "TIFF", "WEBP", "OPENJPEG", "JASPER", "OPENEXR", "GSTREAMER")),
    *(f"-DWITH_{part}=OFF" for part in ("V4L", "1394", "QUIRC", "OPENCL", "ITT")),
    "-DBUILD_ITT=OFF",
    # OpenCV 4.6 forgets this header, which FFmpeg 5.1 no longer brings along; Debian patches it in.
    "-DCMAKE_CXX_FLAGS=-include/usr/local/include/libavcodec/version.h",
    "-DCPU_DISPATCH=",
    "-DCV_DISABLE_OPTIMIZATION=ON",
    "-DCMAKE_CXX_FLAGS_RELEASE=-O0",
]


class Media:
    """The built preset and the engine that has it."""

    def __init__(self, site: Site, engine: TestEngine, artifacts: support.Artifacts) -> None:
        self.site, self.engine, self.artifacts = site, engine, artifacts

    def build(self, **options: object) -> BuildRecord:
        """Build as it stands."""
        build.run(self.site, NAME, options, support.Recorder())
        return list_builds(self.site)[0]

    def shell(self, script: str, image: str = f"xaiva/{NAME}:latest") -> str:
        """What a shell in the image prints."""
        return self.engine.docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-ec", script)


@pytest.fixture(scope="module")
def media(engine: TestEngine, offline_engine: TestEngine, tmp_path_factory: pytest.TempPathFactory) -> Media:
    """Built once: about five minutes on two cores."""
    scratch = tmp_path_factory.mktemp("media")
    site = new_site(scratch / "site", offline_engine)
    site = Site(site.root, site.settings, {**offline_engine.env, "XAIVA_MEDIA_KEY": SECRET})
    preset = support.preset_of(
        layers=[{"name": "common", "requirements": ["numpy<2"]}, {"name": "extra", "requirements": ["idna"]}],
        build_options={
            "ffmpeg_version": "5.1",
            "opencv_version": "4.6",
            "ffmpeg_configure": FFMPEG,
            "opencv_cmake": OPENCV,
            "xaiva_media_cmake": ["-DXAIVA_MEDIA_LICENCE=ON"],
        },
        tensorrt={"enabled": True, "version": "8.6.1"},
        build_secrets=["XAIVA_MEDIA_KEY"],
        inference_service=False,
    )
    artifacts = support.Artifacts(site, NAME, preset)
    artifacts.add_debs(support.debs(engine))
    artifacts.add_base(engine)
    artifacts.add_layer("common", support.wheels("numpy<2"))
    artifacts.add_layer("extra", support.wheels("idna==3.10"))
    for name, archive in support.sources(engine).items():
        artifacts.add(archive, f"sources/{name}-{archive.name}", FileKind.SOURCE, name)
    tree = support.pack(Path(__file__).with_name("xaiva_media"), scratch / "xaiva-media-1.0.tar")
    artifacts.add(tree, f"sources/{tree.name}", FileKind.SOURCE, "xaiva-media")
    tensorrt = _tensorrt(scratch)
    artifacts.add(tensorrt, f"sources/{tensorrt.name}", FileKind.SOURCE, "tensorrt")
    notes = scratch / "notes"
    notes.mkdir()
    (notes / "read.me").write_text("a source that nothing compiles\n")
    artifacts.add(support.pack(notes, scratch / "notes-1.tar"), "sources/notes-1.tar", FileKind.SOURCE, "notes")
    artifacts.write()
    built = Media(site, offline_engine, artifacts)
    built.build()
    return built


def _tensorrt(scratch: Path) -> Path:
    """A tar in the shape of NVIDIA's, which cannot be had here: libraries, headers, and wheels of several Pythons."""
    top = scratch / "TensorRT-8.6.1.6"
    for folder in ("lib", "include", "python"):
        (top / folder).mkdir(parents=True)
    shutil.copyfile(shutil.which("true") or "/bin/true", top / "lib/libnvinfer.so.8")
    (top / "lib/libnvinfer_static.a").write_bytes(b"static")
    (top / "include/NvInfer.h").write_text("#pragma once\n")
    module = {"tensorrt/__init__.py": "__version__ = '8.6.1'\n"}
    for tag in ("cp310", "cp311"):
        wheel = support.make_wheel(scratch, "tensorrt", "8.6.1", module)
        wheel.rename(top / f"python/tensorrt-8.6.1-{tag}-none-linux_x86_64.whl")
    return support.pack(top, scratch / "tensorrt-8.6.1.tar")


def test_the_runtime_uses_what_was_compiled(media: Media) -> None:
    make = "ffmpeg -v error -f lavfi -i testsrc=size=160x120:rate=10:duration=1 -c:v mpeg4 /tmp/a.avi"
    assert media.shell("ffmpeg -version").startswith("ffmpeg version 5.1")
    assert media.shell(f"{make} && xaiva-media count /tmp/a.avi").strip() == "10"
    assert "with FFmpeg 5.1" in media.shell("xaiva-media version")
    read = (
        "import cv2, numpy; v = cv2.VideoCapture('/tmp/a.avi', cv2.CAP_FFMPEG); ok, frame = v.read(); "
        "print(cv2.__version__, ok, frame.shape, frame.std() > 10)"
    )
    assert media.shell(f'{make} && python -I -c "{read}"').split(maxsplit=1) == ["4.6.0", "True (120, 160, 3) True\n"]
    load = "import ctypes; l = ctypes.CDLL('libxaiva_media.so.1'); print(l.xaiva_media_count_packets(b'/tmp/a.avi'))"
    assert media.shell(f'{make} && python -I -c "{load}"').strip() == "10"
    assert media.shell("python -I -c 'import tensorrt; print(tensorrt.__version__)'").strip() == "8.6.1"
    folders = media.shell("cat /etc/ld.so.conf.d/tensorrt.conf; ls /usr/local/tensorrt")
    assert folders.split() == ["/usr/local/tensorrt/lib", "lib"]


def test_the_runtime_stays_small_and_dev_has_the_rest(media: Media) -> None:
    tools = "for c in gcc cmake make; do command -v $c || true; done"
    assert media.shell(tools).strip() == ""
    leftover = "-name '*.whl' -o -name '*.a' -o -name '*.h' -path '/usr/local/*'"
    assert media.shell(f"find / -xdev \\( {leftover} \\) -not -path '/opt/*'").strip() == ""
    assert media.shell("test ! -e /stage && test ! -e /tmp/build && echo gone").strip() == "gone"
    media.build(target="dev")
    dev = f"xaiva/{NAME}:dev"
    assert len(media.shell(tools, dev).split()) == 3
    assert media.shell("cat /opt/src/notes/read.me", dev).startswith("a source")
    assert media.shell("ls /usr/local/include/libavcodec/avcodec.h /usr/local/tensorrt/include/NvInfer.h", dev)
    found = json.loads(media.engine.docker("image", "inspect", dev))[0]
    assert found["Config"]["Labels"]["org.xaiva.target"] == "dev"


def test_a_changed_layer_compiles_nothing_again(media: Media) -> None:
    media.artifacts.add_layer("extra", support.wheels("idna==3.9"))
    media.artifacts.write()
    record = media.build()
    cached = {stage.name: stage.cached for stage in record.stages}
    for stage in ("python", "common", "toolchain", "ffmpeg", "opencv", "tensorrt", "xaiva-media", "built"):
        assert cached[stage], stage
    assert not cached["extra"]


def test_a_secret_is_nowhere(media: Media, tmp_path: Path) -> None:
    needle = SECRET.encode()
    record = next(r for r in list_builds(media.site) if "xaiva-media" in {s.name for s in r.stages if not s.cached})
    log = (builds_folder(media.site) / record.id / LOG_FILE).read_text()
    assert "licence key is ***" in log, "the build did not see the secret"
    for path in media.site.root.rglob("*"):
        if path.is_file() and "layers" not in path.parts:
            assert needle not in path.read_bytes(), path
    assert SECRET not in media.engine.docker("history", "--no-trunc", f"xaiva/{NAME}:latest")
    archive = tmp_path / "image.tar"
    for image in (f"xaiva/{NAME}:latest", f"xaiva/{NAME}:dev"):
        if media.engine.docker("images", "--quiet", image):
            media.engine.docker("save", "--output", str(archive), image)
            content = archive.read_bytes()
            assert b"xaiva_media_count_packets" in content, "layers cannot be searched as they lie there"
            assert needle not in content
