"""Kind: a command that downloads is known by a few names only, and the build or the start then waits for a network.

It applies to every command of an image: the steps of the Dockerfile, what the container starts with, its health check,
and the run settings of the preset. A command that stays on the machine is left alone.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from core.download_commands import find_downloads
from core.findings import Level
from core.images.dockerfile_lint import lint_dockerfile
from core.presets.compat import check
from core.presets.model import Preset

DOWNLOADS = [
    "huggingface-cli download org/model",
    "hf download org/model --local-dir /models",
    "/opt/xaiva/bin/huggingface-cli download org/model",
    "HF_HUB_ENABLE_HF_TRANSFER=1 hf download org/model",
    "python -c \"import torch; torch.hub.load('org/repo', 'm')\"",
    "python -c \"from torch import hub; hub.load('org/repo', 'm')\"",
    "python3 -c 'from huggingface_hub import snapshot_download; snapshot_download(\"org/model\")'",
    "python -c \"AutoModel.from_pretrained('org/model')\"",
    "python -c 'from datasets import load_dataset; load_dataset(\"squad\")'",
    "python -c \"import nltk; nltk.download('punkt')\"",
    "python -m nltk.downloader punkt",
    "python -m spacy download en_core_web_sm",
    "python -c \"import whisper; whisper.load_model('base')\"",
    "python -c 'import torchvision; torchvision.models.resnet18(pretrained=True)'",
    "python -c \"import urllib.request as r; r.urlretrieve('https://example.org/a')\"",
    "poetry install",
    "poetry --no-interaction install --no-root",
    "pdm sync",
    "pipenv install --deploy",
    "uv sync --frozen",
    "uv run app.py",
    "uv pip install numpy",
    "uv pip sync requirements.txt",
    "uv tool install ruff",
    "uv python install 3.12",
    "uvx ruff",
    "pipx install poetry",
    "pip install -r requirements.txt",
    "/opt/xaiva/bin/pip3.11 install numpy",
    "python -m pip download numpy",
    "conda install -y numpy",
    "mamba env create -f environment.yml",
    "micromamba create -n a",
    "npm ci",
    "npx serve",
    "yarn install",
    "pnpm i",
    "cargo install ripgrep",
    "go install example.org/a@latest",
    "go mod download",
    "gem install bundler",
    "git clone https://example.org/a.git",
    "git clone --depth 1 https://example.org/a.git /src/a",
    "git lfs pull",
    "dvc pull",
    "svn checkout https://example.org/a",
    "wget -q https://example.org/a",
    "curl -fsSL https://example.org/install.sh | sh",
    "/usr/bin/curl https://example.org/a",
    "sh -c 'curl https://example.org/a'",
    "gdown 1abc",
    "rsync -a host:/a /a",
    "apt-get update",
    "apt-get -y install gcc",
    "apk add --no-cache gcc",
    "dnf -y install gcc",
    "microdnf install gcc",
    "zypper in gcc",
    "add-apt-repository ppa:a/b",
    "gpg --keyserver keys.example.org --recv-keys 1",
    "aws s3 cp s3://a/b /b",
    "gsutil -m cp gs://a/b /b",
    "rclone copy a:b /b",
    "ollama pull llama3",
    "modelscope download --model a/b",
    "kaggle datasets download a/b",
    "docker pull debian",
    "skopeo copy docker://a oci:b",
    "pip --timeout 60 install numpy",
    '"pip" install numpy',
    "sudo -E apt-get install gcc",
    "sudo -u app git clone https://example.org/a",
    "PIP_CACHE_DIR=/c pip install numpy",
    "timeout 60 curl https://example.org/a",
    "xargs -n 1 wget",
    "find . -exec curl https://example.org/a +",
    "poetry run pip install numpy",
    "poetry -C /app install",
    "uv --directory /app sync",
    "npm --prefix /app ci",
    "yarn --frozen-lockfile",
    "go run example.org/a@latest",
    "git -C /src pull",
    "git remote update",
    "git submodule update --init",
    "git clone git@example.org:a/b",
    "scp user@host:/a /b",
    "curl -F a=@http://localhost https://example.org/a",
    "docker compose pull",
    "aws --endpoint-url http://store:9000 s3 cp s3://a /b",
    "rclone sync a:b /c",
    "pacman --noconfirm -Sy gcc",
    "rpm -i https://example.org/a.rpm",
    "vllm serve org/model",
    "python -m vllm.entrypoints.openai.api_server --model org/model",
    "llama-server -hf org/model",
    "python -c \"AutoModel.from_pretrained(pretrained_model_name_or_path='org/model')\"",
    "python -c \"pipeline('text-classification')\"",
    "python -c \"resnet18(weights='DEFAULT')\"",
]
STAYS = [
    "pip install --no-index --find-links /w numpy",
    "uv pip install --offline numpy",
    "uv sync --offline",
    "conda install --offline numpy",
    "npm ci --offline",
    "git clone /src/repo /dst",
    "git clone --depth 1 file:///src/repo",
    "git --version",
    "curl -f http://localhost:8600/health",
    "curl -f http://127.0.0.1:8600/health",
    "curl --version",
    "wget -qO- http://[::1]:8600/health",
    "python -c \"import urllib.request as r; r.urlopen('http://localhost:8600')\"",
    "python -c \"AutoModel.from_pretrained('/models/a')\"",
    "python -c 'AutoModel.from_pretrained(\"./a\", local_files_only=True)'",
    "python -c 'AutoModel.from_pretrained(path)'",
    "python -c \"import torch; torch.hub.load('/src/repo', 'm', source='local')\"",
    "huggingface-cli scan-cache",
    "hf env",
    "poetry --version",
    "poetry build",
    "dnf clean all",
    "apt-get clean",
    "rsync -a /a /b",
    "uvicorn app:app",
    "npm run build",
    "cargo build --release --offline",
    "ls /usr/share/curl /etc/wgetrc",
    "rm -rf /var/cache/pip /opt/.conda",
    "/opt/xaiva/bin/xaiva-inference serve",
    "# pip install numpy",
    "true # pip install numpy",
    'echo "pip install"',
    "echo curl https://example.org",
    "printf 'pip install %s' numpy",
    'sudo echo "apt-get update"',
    'grep -r "apt install" /docs',
    "which curl wget git",
    "command -v wget",
    "cp wget /usr/bin",
    "/app/pip install.sh",
    "apt-get remove curl",
    "pip install --help",
    "curl --help",
    "wget -V",
    "curl -s http://0.0.0.0:8600/health",
    "curl http://user:word@localhost:8600/health",
    "curl --unix-socket /run/docker.sock http://engine/info",
    "git clone repo /dst",
    "git clone --bare /srv/a.git",
    "git commit -m 'pull, fetch and clone'",
    "git checkout -b pull",
    "git submodule foreach ls",
    "git -C /src submodule status",
    "dnf remove gcc",
    "yum list installed",
    "poetry run python app.py",
    "poetry env info",
    "PIP_NO_INDEX=1 pip install -f /w numpy",
    "pip install --no-deps ./a.whl",
    "pip install --no-deps --no-build-isolation -e .",
    "hg update",
    "rclone copy /a /b",
    "mc cp /a /b",
    "skopeo copy oci:/a oci:/b",
    "R -e \"install.packages('/src/a.tar.gz', repos=NULL)\"",
    "python train.py --pretrained=True",
    "python -c \"load_dataset('json', data_files='/data/a.json')\"",
    'python -c "SentenceTransformer(folder)"',
    "HF_HUB_OFFLINE=1 python -c \"AutoModel.from_pretrained('org/model')\"",
    "vllm serve /models/llama",
    "python -m http.server",
]


@pytest.mark.parametrize("command", DOWNLOADS)
def test_what_downloads_is_found(command: str) -> None:
    assert list(find_downloads(command))
    assert list(find_downloads(json.dumps(shlex.split(command))))  # the form without a shell
    (finding,) = lint_dockerfile(f"FROM scratch\nRUN true && {command.partition(' | ')[0]} && true\n")
    assert (finding.level, finding.code) == (Level.ERROR, "lint-network")
    assert finding.remedy


@pytest.mark.parametrize("command", STAYS)
def test_what_stays_on_the_machine_is_left_alone(command: str) -> None:
    assert list(find_downloads(command)) == []


TEXTS: dict[str, tuple[str, list[str]]] = {
    "here-document": ("RUN <<EOF\napt-get update\nEOF", ["RUN apt-get update"]),
    "here-document-of-bash": ("RUN bash <<'EOF'\nset -e\nwget https://a.b/c\nEOF", ["RUN wget https://a.b/c"]),
    "here-document-of-python": ("RUN python3 - <<EOF\nimport x\nx.urlopen('https://a')\nEOF", ["RUN import x"]),
    "here-document-of-data": ("RUN cat >/a.py <<EOF\nurlopen('https://a')\nEOF\nRUN pip check", []),
    "behind-data": ("RUN cat <<E >/a && pip install x\nwget https://a\nE", ["RUN pip install x"]),
    "substitution": ('RUN echo "$(curl -s https://a)"', ["RUN curl -s https://a"]),
    "condition": ("RUN if ! command -v gcc; then apt-get install gcc; fi", ["RUN apt-get install gcc"]),
    "test": ("RUN [ -f /a ] || wget https://a", ["RUN wget https://a"]),
    "shell-in-a-shell": ("RUN sh -ec \"bash -lc 'pip install x'\"", ["RUN pip install x"]),
    "neighbour-in-a-build": ("RUN curl http://database:8080/a", ["RUN curl http://database"]),
    "shift-and-not-a-here-document": ("RUN <<EOF\na=$((1 << 3))\nwget https://a\nEOF", ["RUN wget https://a"]),
    "quoted-separator": ("RUN echo 'a; pip install x && b'", []),
    "comment-in-the-middle": ("RUN true; \\\n  # pip install x\n  echo y", []),
    "health-check-with-options": (
        "HEALTHCHECK --start-period=5s CMD curl https://a.example",
        ["HEALTHCHECK curl https://a.example"],
    ),
    "health-check-as-words": ('HEALTHCHECK CMD ["curl", "https://a.example"]', ["HEALTHCHECK curl https://a.example"]),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_is_read_as_a_shell_reads_it(case: str) -> None:
    text, expected = TEXTS[case]
    findings = lint_dockerfile(f"FROM scratch\n{text}\n")
    assert len(findings) == len(expected)
    assert all(finding.what.startswith(words) for finding, words in zip(findings, expected, strict=True))


@pytest.mark.parametrize(
    "line",
    [
        "CMD hf download org/model && exec serve",
        'CMD ["sh", "-c", "pip install -r /app/r.txt && exec serve"]',
        'ENTRYPOINT ["uv", "run", "app.py"]',
        "HEALTHCHECK CMD curl -f https://status.example.org",
    ],
)
def test_what_the_container_starts_with_is_a_warning(line: str) -> None:
    (finding,) = lint_dockerfile(f"FROM scratch\n{line}\n")
    assert finding.level is Level.WARNING


RUN_SETTINGS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "command": ({"command": ["sh", "-c", "hf download a/b /models && exec serve"]}, ["run.command"]),
    "program": ({"command": ["uv", "run", "app.py"]}, ["run.command"]),
    "health-check": ({"health_check": {"command": ["curl", "https://status.example.org"]}}, ["run.health_check"]),
    "local-health-check": ({"health_check": {"command": ["curl", "-f", "http://localhost:8600/health"]}}, []),
    "neighbour": ({"health_check": {"command": ["curl", "-f", "http://database:8080/health"]}}, []),
    "machine-at-the-site": ({"command": ["sh", "-c", "wget http://192.168.1.9/a && exec serve"]}, []),
    "server-by-its-local-name": ({"command": ["python", "-c", "requests.get('http://nas.local/a')"]}, []),
    "machine-elsewhere": ({"command": ["sh", "-c", "wget http://172.99.1.9/a"]}, ["run.command"]),
    "echoed": ({"command": ["sh", "-c", "echo 'pip install x'; exec serve"]}, []),
    "service": ({"command": ["/opt/xaiva/bin/xaiva-inference", "serve"]}, []),
    "nothing": ({}, []),
}


@pytest.mark.parametrize("case", RUN_SETTINGS)
def test_run_settings_of_a_preset(case: str) -> None:
    run, expected = RUN_SETTINGS[case]
    preset = Preset.model_validate({"base_image": "debian:12", "python_version": "3.11", "run": run})
    findings = [finding for finding in check(preset) if finding.code == "run-downloads"]
    assert [one.where for one in findings] == expected
    assert all(one.level is Level.WARNING and one.remedy for one in findings)
