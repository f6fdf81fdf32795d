"""The whole life of a model on real data: run the pipeline, promote the result, serve it, ask it, stop it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

HERE = Path(__file__).resolve().parent
WORKSPACE = Path(os.environ.get("LIFECYCLE_WORKSPACE", HERE / ".lifecycle"))
LIFECYCLE = Path(sys.executable).with_name("lifecycle")
SHADES = " .:-=+*#%@"


def main() -> None:
    """Run, promote, serve, ask, stop."""
    os.environ["LIFECYCLE_WORKSPACE"] = str(WORKSPACE)
    # Images of 8×8 are too small to be worth sharing among cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command("run", os.path.relpath(HERE / "pipeline.yaml"))
    command("promote", "digits")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    show("serve", "models:/digits@champion", "--port", str(port))
    server = subprocess.Popen([LIFECYCLE, "serve", "models:/digits@champion", "--port", str(port)])
    try:
        ask(f"http://127.0.0.1:{port}", server)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    print("\nThe server has stopped.")
    before_and_after()
    here, commands = os.path.relpath(WORKSPACE), os.path.relpath(LIFECYCLE.parent)
    print(
        f"""Next:
  {commands}/lifecycle serve models:/digits@champion --workspace {here}   # draw digits at http://localhost:3000
  curl -s localhost:3000/v2/models/digits
  {commands}/lifecycle run {os.path.relpath(HERE)}/pipeline.yaml prune.macs=0.1   # from the cache on
  {commands}/mlflow ui --backend-store-uri sqlite:///{here}/mlflow.db"""
    )


def show(*words: str) -> None:
    """Print a command as one would type it."""
    print("\n$ lifecycle " + " ".join(words), flush=True)


def command(*words: str) -> None:
    """Run a command to its end."""
    show(*words)
    done = subprocess.run([LIFECYCLE, *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def ask(url: str, server: subprocess.Popen) -> None:
    """Send held-out digits over HTTP: a few to look at, then all of them."""
    images, labels = held_out()
    wait_until_ready(url, server)
    print(f"\nPOST {url}/predict")
    print("\n".join("    " + "".join(SHADES[min(p * 9 // 16, 9)] * 2 for p in row) for row in images[0][0]))
    for image, label in list(zip(images, labels, strict=True))[:6]:
        started = time.perf_counter()
        answer = post(f"{url}/predict", {"rows": [image]})
        elapsed = 1000 * (time.perf_counter() - started)
        found = answer["predictions"][0]
        print(
            f"  a {label}: answered {found['label']} with {100 * found['probability']:.1f} %, "
            f"{answer['model_name']} version {answer['model_version']}, {elapsed:.1f} ms"
        )
    answer = post(f"{url}/predict", {"rows": images})
    wrong = sum(int(p["label"]) != label for p, label in zip(answer["predictions"], labels, strict=True))
    print(f"  all {len(labels)} held-out digits: {len(labels) - wrong} right, {wrong} wrong")


def wait_until_ready(url: str, server: subprocess.Popen) -> None:
    """Poll until the model is loaded."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{url}/v2/health/ready", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    sys.exit("the server did not get ready")


def post(url: str, body: object) -> dict:
    """Send JSON, get JSON."""
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as response:
        return json.load(response)


def held_out() -> tuple[list, list[int]]:
    """The 540 test images as nested lists of pixels, and what they show."""
    sys.path.insert(0, str(HERE))
    from data import Digits

    digits = Digits()
    digits.setup("test")
    images, labels = zip(*digits.test, strict=True)
    return [image.tolist() for image in images], [int(label) for label in labels]


def before_and_after() -> None:
    """The table that the run ended with, from what was registered."""
    from lifecycle.cli.output import print_table
    from lifecycle.registry import fetch, find_version
    from lifecycle.report.summary import MODEL_COLUMNS, before_after
    from lifecycle.tracking import find_registry

    client, served = find_registry(WORKSPACE)
    _, evaluation = fetch(client, find_version(client, "models:/digits@champion"), served)
    print_table("The champion beside the dense model", MODEL_COLUMNS, before_after(evaluation))


if __name__ == "__main__":
    main()
