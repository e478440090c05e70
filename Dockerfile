# cwsgi built from source, serving examples/hello:
#   docker build -t cwsgi . && docker run -p 8080:8080 cwsgi
# BASE may be any Debian, with Python or without.
ARG BASE=python:3.13-slim-bookworm

FROM $BASE AS base
RUN command -v python3 \
 || { apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
      && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

FROM base AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libuv1-dev node-llhttp \
 && { [ "$(python3 -c 'import sys; print(sys.base_prefix)')" != /usr ] \
      || apt-get install -y --no-install-recommends python3-dev; }
COPY . /src
RUN pip wheel --no-deps -w /wheels /src

FROM base
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl
WORKDIR /app
COPY examples/hello .
CMD exec cwsgi main:app
