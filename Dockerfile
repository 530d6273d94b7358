# docker build --tag concrete-study .                       CPU
# docker build --tag concrete-study --build-arg CUDA=1 .    with NVIDIA's libraries
# docker run --rm --network none --volume "$PWD:/study" concrete-study search --data photographs
FROM python:3.12-slim

ARG CUDA=""
ARG DASHBOARD=""

WORKDIR /source
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
# Not in the lock: NVIDIA's libraries, and what KubeRay submits jobs through; its probes call wget.
RUN if [ -n "$CUDA" ]; then pip install --no-cache-dir \
    "tensorflow[and-cuda]==$(python -c 'import importlib.metadata as m; print(m.version("tensorflow"))')"; fi
RUN if [ -n "$DASHBOARD" ]; then apt-get update && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* && pip install --no-cache-dir \
    "ray[default]==$(python -c 'import importlib.metadata as m; print(m.version("ray"))')"; fi
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home --uid 1000 study \
    && mkdir /study \
    && chown study /study

USER study
WORKDIR /study
ENV RAY_USAGE_STATS_ENABLED=0
ENTRYPOINT ["study"]
