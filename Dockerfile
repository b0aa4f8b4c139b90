# The engine as an image: packages as pinned in constraints.txt, the hot path as native code (docs/decisions/0017), no
# compiler in what runs, no shell needed, not root.
FROM python:3.11.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/wardstream
WORKDIR /src
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY engine/ engine/
COPY adapters/ adapters/
COPY models/ models/
# Further packages, pinned as well: CUDA's libraries for workers with a GPU (docker-compose.yml, annotate-gpu).
ARG EXTRA=
# PIP_CONSTRAINT: what the build fetches for itself, mypyc, is pinned there too.
RUN WARDSTREAM_COMPILE=1 PIP_CONSTRAINT=/src/constraints.txt \
    /opt/wardstream/bin/pip install --constraint constraints.txt . ${EXTRA} \
    && ls /opt/wardstream/lib/python3.11/site-packages/engine/mapping/run.*.so

FROM python:3.11.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin wardstream
COPY --from=build /opt/wardstream /opt/wardstream
ENV PATH=/opt/wardstream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /etc/wardstream
EXPOSE 2575 8600
ENTRYPOINT ["wardstream"]
CMD ["run"]
