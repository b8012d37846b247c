# The default stack with the package installed: `docker build -t byola .`, then
# `docker run --rm -v "$PWD:/data" byola -m train_lib.pretrain --help`.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /byola-tf

# A layer of its own, so that a change of the code does not install TensorFlow.
COPY requirements.txt .
RUN pip install --prefer-binary --requirement requirements.txt

COPY . .
RUN pip install --no-deps --no-build-isolation .

# A broken image is not built.
RUN python -m hub_export.doctor

# hub.load's cache: mount a volume here to keep downloads.
ENV TFHUB_CACHE_DIR=/var/cache/tfhub
WORKDIR /data
ENTRYPOINT ["python"]
