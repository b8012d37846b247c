# The default stack with the package installed: `docker build -t byola .`, then
# `docker run --rm -v "$PWD:/data" byola pretrain --help`.
# Files are written as user 1000; as yourself: --user "$(id -u):$(id -g)".
#
# A version of Python and of the system; a digest pins the very image:
# docker build --build-arg BASE=python:3.11.13-slim-bookworm@sha256:... .
ARG BASE=python:3.11.13-slim-bookworm
FROM ${BASE}

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /byola-tf

# A layer of its own, so that a change of the code does not install TensorFlow.
COPY requirements.txt .
RUN pip install --prefer-binary --require-hashes --requirement requirements.txt

COPY . .
RUN pip install --no-deps --no-build-isolation .

# Caches that every user may write: mount volumes here to keep them.
ENV BYOLA_CACHE=/var/cache/byola \
    TFHUB_CACHE_DIR=/var/cache/byola/tfhub \
    MPLCONFIGDIR=/var/cache/byola/matplotlib \
    NUMBA_CACHE_DIR=/var/cache/byola/numba
RUN mkdir --mode=1777 /var/cache/byola /data \
    && chmod 1777 /data \
    && useradd --create-home --uid 1000 byola
# A file of the mounted folder (numpy.py) is no module for the commands.
ENV PYTHONSAFEPATH=1
USER byola
WORKDIR /data

# A broken image is not built.
RUN byola doctor

ENTRYPOINT ["byola"]
