r"""Runs a part of a tf.data service: its dispatcher or one of its workers.

  byola data-service --role=dispatcher --port=5050
  byola data-service --role=worker --dispatcher=HOST:5050

One dispatcher, any number of workers on any machines that see the shards under
the same path. Then train with --config.data.service=grpc://HOST:5050. A part
runs until it is stopped (Ctrl-C, or SIGTERM).

Both parts listen on every network interface: TensorFlow has no option for one
address, and no password. Whoever reaches the ports can run TensorFlow graphs, which
read and write files, as your user. Let a firewall or a private network close them to
others.
"""

import signal
import sys

from absl import flags

from train_lib.cli import command

ROLE = flags.DEFINE_enum("role", None, ["dispatcher", "worker"], "Which part.")
PORT = flags.DEFINE_integer(
    "port", 0, "Port to listen on; 0 takes a free one.", lower_bound=0
)
DISPATCHER = flags.DEFINE_string(
    "dispatcher", None, "A worker's dispatcher, HOST:PORT."
)
HOST = flags.DEFINE_string(
    "host", "localhost", "Name under which others reach this worker."
)

_EXPOSED = (
    "It listens on every network interface, not only on localhost, and asks for no "
    "password: whoever reaches the port runs graphs as your user. Keep it behind a "
    "firewall."
)


def main() -> None:
    """Starts the part, says where it listens and waits."""
    role = command.required("role", ROLE.value, "dispatcher")
    if role == "worker":
        command.required("dispatcher", DISPATCHER.value, "localhost:5050")
    from tensorflow.data.experimental import service

    if role == "dispatcher":
        server = service.DispatchServer(service.DispatcherConfig(port=PORT.value))
        print(f"Dispatcher at {server.target}", flush=True)
    else:
        server = service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=DISPATCHER.value.removeprefix("grpc://"),
                worker_address=f"{HOST.value}:%port%",
                port=PORT.value,
            )
        )
        print(f"Worker of {DISPATCHER.value}", flush=True)
    print(_EXPOSED, file=sys.stderr, flush=True)
    # at once, as SIGTERM does: neither join() nor a server's destructor minds Python
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server.join()


def cli() -> None:
    """Entry point of `byola data-service`."""
    command.run(main)


if __name__ == "__main__":
    cli()
