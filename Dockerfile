# One image for every part: heldout web, worker, sweep, db upgrade, or serve for all on one machine.
# It holds no secret, no data and no challenge.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/heldout
ENV PATH=/opt/heldout/bin:$PATH
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY scorer scorer
COPY worker worker
COPY client client
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN groupadd --gid 10001 heldout \
 && useradd --uid 10001 --gid heldout --no-create-home --home-dir /data --shell /usr/sbin/nologin heldout \
 && install --directory --owner=heldout --group=heldout --mode=0700 /data /data/cache /storage /vault
COPY --from=build /opt/heldout /opt/heldout
# A published port is reached by others: the web starts with HELDOUT_COOKIE_SECURE=true behind TLS, or with
# HELDOUT_INSECURE_HTTP=true, and neither is decided here.
ENV PATH=/opt/heldout/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    HELDOUT_DATA_DIR=/data \
    HELDOUT_HOST=0.0.0.0
WORKDIR /data
USER 10001:10001
EXPOSE 7777
CMD ["heldout", "serve"]
