# cwsgi built from source, serving examples/hello:
#   docker build -t cwsgi . && docker run -p 8080:8080 cwsgi
# BASE may be any Debian since 12 or what is made from it, with Python 3.10 or later or without.
ARG BASE=python:3.13-slim-bookworm

FROM $BASE AS base
# python3-minimal would be no Python to serve with. Debian's pip, and apps, trust the certificates.
RUN packages=; \
    python3 -c 'import ssl' 2>/dev/null || packages=python3; \
    [ -s /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"; \
    [ -z "$packages" ] || { apt-get update \
      && apt-get install -y --no-install-recommends $packages && rm -rf /var/lib/apt/lists/*; }

FROM base AS build
COPY . /src
RUN apt-get update \
 && /src/tools/need.sh gcc libc6-dev libuv1-dev zlib1g-dev 'libllhttp-dev|node-llhttp' \
      "python:$(readlink -f "$(command -v python3)")" \
 && python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir /src

FROM base
COPY --from=build /opt/venv /opt/venv
# The user by number: Kubernetes cannot tell whether a name is root's.
RUN useradd --uid 10001 --user-group --no-create-home app
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY examples/hello .
USER 10001
EXPOSE 8080
CMD exec cwsgi main:app
