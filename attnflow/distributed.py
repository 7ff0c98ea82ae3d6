"""Runs over several processes: they meet before JAX connects them."""

from __future__ import annotations

import socket
import time

import jax

from attnflow._checks import check_integer, check_positive
from attnflow.errors import ConfigError, WorkerError


def join_processes(address: str, *, count: int, index: int, timeout: float = 30.0) -> None:
    """Connect this process with its peers; afterwards `jax.devices()` are the devices of all of them.

    JAX itself aborts a process whose peers stay away. So they first meet at the address: the process of index 0 waits
    there until all others have come.

    Args:
        address: host:port of the process of index 0, free there.
        count: how many processes there are.
        index: of this one, from 0.
        timeout: seconds to wait for the others.

    Raises:
        ConfigError: if the address is not host:port, or the index not below the count.
        WorkerError: if a peer does not come in time; it names the address.

    Example:
        >>> import attnflow as af
        >>> af.join_processes("nowhere", count=2, index=0)
        Traceback (most recent call last):
        ...
        attnflow.errors.ConfigError: `address` must be host:port, got 'nowhere'. Pass one such as "127.0.0.1:12345".
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ConfigError(f'`address` must be host:port, got {address!r}. Pass one such as "127.0.0.1:12345".')
    check_integer(count, "count", minimum=1)
    if check_integer(index, "index", minimum=0) >= count:
        raise ConfigError(f"`index` must be below `count` = {count}, got {index}. Indices count from 0.")
    deadline = time.monotonic() + check_positive(timeout, "timeout")
    if index == 0:
        _wait_for_peers(host, int(port), count=count, deadline=deadline, timeout=timeout)
    else:
        _meet_first(host, int(port), index=index, deadline=deadline, timeout=timeout)
    jax.distributed.initialize(
        address, num_processes=count, process_id=index, initialization_timeout=max(10, round(timeout))
    )


def _wait_for_peers(host: str, port: int, *, count: int, deadline: float, timeout: float) -> None:
    missing, met = set(range(1, count)), []
    try:
        server = socket.create_server((host, port))
    except OSError as error:
        raise WorkerError(
            f"cannot wait for peers at {host}:{port}: {error}. Choose a free port of this host."
        ) from error
    with server:
        while missing:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                peer, _ = server.accept()
                peer.settimeout(max(deadline - time.monotonic(), 0.001))
                missing.discard(int(peer.recv(16) or b"0"))
            except (TimeoutError, ValueError) as error:
                raise WorkerError(
                    f"of {count} processes, {sorted(missing)} did not come to {host}:{port} within {timeout:g} s. "
                    "Start them with the same address and count."
                ) from error
            met.append(peer)
    for peer in met:  # after the port is free for JAX
        peer.sendall(b"go")
        peer.close()


def _meet_first(host: str, port: int, *, index: int, deadline: float, timeout: float) -> None:
    while True:
        left = deadline - time.monotonic()
        try:
            with socket.create_connection((host, port), timeout=max(left, 0.001)) as first:
                first.sendall(str(index).encode())
                first.settimeout(max(deadline - time.monotonic(), 0.001))
                if first.recv(2) == b"go":
                    return
        except OSError:
            pass  # not there yet
        if deadline - time.monotonic() <= 0:
            raise WorkerError(
                f"no answer from process 0 at {host}:{port} within {timeout:g} s, or not all of its peers came. "
                "Start it there, with the same count."
            )
        time.sleep(0.05)
