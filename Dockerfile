# Two images from one package.
#
#   docker build -t digits .                              serves a registered version; holds no torch
#   docker build -t lifecycle --target train .            runs pipelines; CPU build of torch
#   docker build … --build-arg TORCH_INDEX_URL=…          …with another build of torch, such as one for CUDA
#
#   docker run -p 3000:3000 -e MODEL_NAME=digits -e MLFLOW_TRACKING_URI=http://… digits

FROM python:3.11-slim AS base
ENV PATH=/opt/lifecycle/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1


FROM base AS packages
# The first pip that installs the dependency groups of a pyproject.toml is 25.1.
RUN python -m venv /opt/lifecycle && pip install "pip>=25.1"
WORKDIR /src
COPY pyproject.toml constraints.txt ./


FROM packages AS wheel
COPY README.md LICENSE ./
COPY train train
COPY compress compress
COPY export export
COPY serve serve
COPY lifecycle lifecycle
RUN pip wheel --no-deps --wheel-dir /wheels .


FROM packages AS train-packages
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
# That index holds torch and few of the pinned versions of what it needs: those come with the rest.
RUN pip install --no-deps --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' constraints.txt)"
COPY --from=wheel /wheels /wheels
RUN pip install -c constraints.txt /wheels/*.whl


FROM packages AS serve-packages
RUN pip install -c constraints.txt --group serve
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl


FROM base AS runtime
RUN useradd --uid 10001 --user-group --create-home lifecycle
ENV BENTOML_DO_NOT_TRACK=True \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    ORT_DISABLE_TELEMETRY=1
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
WORKDIR /home/lifecycle


FROM runtime AS train
COPY --from=train-packages /opt/lifecycle /opt/lifecycle
ENTRYPOINT ["lifecycle"]
CMD ["--help"]


FROM runtime AS serve
COPY --from=serve-packages /opt/lifecycle /opt/lifecycle
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as http; c = http.HTTPConnection('127.0.0.1', 3000, timeout=2); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
# A shell for the variables only; `exec` lets the server have the signals.
CMD ["sh", "-c", "exec lifecycle serve \"models:/${MODEL_NAME:?is not set: name the registered model}@champion\" --host 0.0.0.0 --port 3000"]
