"""The benchmarks that there are, and how each is run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One script with its options.

    Attributes:
        name: As in ``ONLY=``, and in the results.
        script: What Python is given.
        options: For figures that count.
        quick: In their place, to see that it works.
        packages: Whose versions pages show beside Python's; all are kept with the results.
        needs: A GPU, say, without which it measures nothing and the earlier result stays.
    """

    name: str
    script: tuple[str, ...]
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)
    packages: tuple[str, ...] = ("torch",)
    needs: str = ""

    def command(self, quick: bool = False) -> tuple[str, ...]:
        """What Python is given, without the file for the figures."""
        return (*self.script, *(self.quick if quick else self.options))


# The ones that two busy cores disturb least come last.
SUITE = (
    Benchmark(name="trainer", packages=("torch", "lightning"), script=("benchmarks/trainer.py",)),
    Benchmark(
        name="pipeline",
        packages=("torch", "mlflow"),
        script=("benchmarks/pipeline.py",),
        quick=("--pairs", "0", "--starts", "1"),
    ),
    Benchmark(
        name="serve",
        packages=("onnxruntime", "bentoml", "fastapi", "starlette", "uvicorn"),
        script=("benchmarks/serve.py",),
    ),
    Benchmark(
        name="scale",
        script=("benchmarks/scale.py",),
        options=("--part", "cpu"),
        quick=("--part", "cpu", "--repeats", "2"),
    ),
    Benchmark(name="export", packages=("torch", "onnxruntime"), script=("benchmarks/export.py",)),
    Benchmark(
        name="compress", packages=("torch", "torchao", "onnxruntime"), script=("benchmarks/compress.py",)
    ),
    Benchmark(
        name="overload", packages=("onnxruntime", "starlette", "uvicorn"), script=("benchmarks/overload.py",)
    ),
    Benchmark(
        name="accuracy", packages=("torch", "torchao", "onnxruntime"), script=("benchmarks/accuracy.py",)
    ),
    Benchmark(
        name="gpu", packages=("torch", "lightning"), script=("benchmarks/gpu.py",), needs="a CUDA device"
    ),
    Benchmark(
        name="scale-gpu",
        script=("benchmarks/scale.py",),
        options=("--part", "cuda"),
        quick=("--part", "cuda", "--repeats", "2"),
        needs="a CUDA device",
    ),
)


def packages_of(name: str) -> tuple[str, ...]:
    """The packages whose versions matter to a benchmark, Python's first."""
    return ("python", *(package for one in SUITE if one.name == name for package in one.packages))


def chosen(only: str) -> tuple[Benchmark, ...]:
    """Those named, separated by commas; all of them for an empty text.

    Raises:
        ValueError: There is none of that name.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [benchmark.name for benchmark in SUITE]
    unknown = sorted({*names} - {*known})
    if unknown:
        raise ValueError(f"there is no benchmark {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(benchmark for benchmark in SUITE if not names or benchmark.name in names)
