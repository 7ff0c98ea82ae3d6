"""Compile the GPU programs for an H200 that need not be there; print and bound their registers and spills.

Not part of the tests: it needs the CUDA wheels (`make gpu-compile`). Run it after every change of
attnflow/kernel_sums/pallas.py.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_REGISTERS = 192  # of 65536 for each core: two warpgroups of 128 threads fit
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 4800000000000 l2_cache_size: 52428800
  clock_rate_ghz: 1.98 device_memory_size: 150000000000 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 cuda_compute_capability { major: 9 }
}
platform_name: "CUDA" dnn_version_info { major: 9 } device_description_str: "NVIDIA H200"
"""


def compile_one(program: str, kind: str, dtype: str) -> None:
    """Compile one program and print the memory it needs; the assembler reports on standard output."""
    import jax
    import numpy as np
    from jax.experimental import topologies

    from attnflow.sums.kernel_sums.gpu import xla_program
    from attnflow.sums.kernel_sums.pallas import mosaic_program, triton_program

    jax.config.update("jax_enable_x64", True)
    (device,) = topologies.get_topology_desc(platform="cuda", target_config=H200, topology="1x1x1").devices
    sharding = jax.sharding.NamedSharding(jax.sharding.Mesh(np.array([device]), ("d",)), jax.sharding.PartitionSpec())
    shapes = [(3, 16384), (2, 16384) if kind == "moments" else None, (3, 16384), (2, 16384)]
    given = [None if shape is None else jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape in shapes]
    run = {"mosaic": mosaic_program, "triton": triton_program, "xla": xla_program}[program]
    lowered = jax.jit(lambda *arrays: run(kind, *arrays)).trace(*given).lower(lowering_platforms=("cuda",))
    print("temporary bytes", lowered.compile().memory_analysis().temp_size_in_bytes)


def assembled(text: str, dump: Path) -> str:
    """What the assembler says, also of the programs that XLA only dumps as PTX."""
    if "Used" in text:
        return text
    ptxas = next(Path(sys.prefix).rglob("nvidia/*/bin/ptxas"))
    for ptx in dump.glob("*.ptx"):
        # Some dumps are libraries without an entry, which do not assemble alone.
        command = [ptxas, "-v", "-arch=sm_90a", ptx, "-o", os.devnull]
        text += subprocess.run(command, capture_output=True, text=True, check=False).stderr
    return text


def main() -> int:
    """One row for each program; 1 if a budget is exceeded."""
    failed = 0
    print(f"{'program':8} {'kind':8} {'dtype':8} {'registers':>9} {'spilled':>8} {'temporary MB':>12}")
    for program in ("mosaic", "triton", "xla"):
        for kind in ("sums", "moments"):
            for dtype in ("float32", "float64"):
                with tempfile.TemporaryDirectory() as folder:
                    environment = dict(
                        os.environ, JAX_PLATFORMS="cpu", MOSAIC_GPU_DUMP_PTXAS="1", XLA_FLAGS=f"--xla_dump_to={folder}"
                    )
                    command = [sys.executable, __file__, program, kind, dtype]
                    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                    text = assembled(done.stdout + done.stderr, Path(folder))
                registers = max(map(int, re.findall(r"Used (\d+) registers", text)))
                spilled = sum(map(int, re.findall(r"(\d+) bytes spill", text)))
                temporary = int(re.findall(r"temporary bytes (\d+)", text)[0]) / 1e6
                bad = program != "xla" and (registers > MAX_REGISTERS or spilled > 0)
                failed |= bad
                print(f"{program:8} {kind:8} {dtype:8} {registers:9} {spilled:8} {temporary:12.1f}" + " <<<" * bad)
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compile_one(*sys.argv[1:])
    else:
        sys.exit(main())
