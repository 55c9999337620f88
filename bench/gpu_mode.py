"""Runs `./gpu-mode` for a router that a test or a benchmark has started."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from bench.router_process import ROOT

_LIMIT_S = 60.0


class GpuMode:
    """`GpuMode(router.url, folder, backend="vllm-qwen")("gaming")`.

    Args:
        url: of the router.
        folder: where its configuration is written, `gpu-mode.yaml`.
        config: settings of `config/gpu-mode.yaml`; the waits are 10 s unless they are given.
    """

    def __init__(self, url: str, folder: Path, **config: Any) -> None:
        self.file = folder / "gpu-mode.yaml"
        self.file.write_text(
            yaml.safe_dump({"drain_wait": 10, "health_wait": 10, **config}), encoding="utf-8"
        )
        self.env = {
            "PATH": os.environ["PATH"],
            "GPU_MODE_CONFIG": str(self.file),
            "ROUTER_ADMIN_URL": url,
        }

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it with these arguments, and variables on top of its own."""
        return subprocess.run(
            [str(ROOT / "gpu-mode"), *arguments],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
