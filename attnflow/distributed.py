"""Runs over several processes: they meet before JAX connects them, and end together if one is lost."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress

import jax

from attnflow._checks import check_integer, check_positive
from attnflow.errors import ConfigError, WorkerError

LOST = 3  # exit code of a process whose peer is gone: partial, as of a command
BYE = b"bye"  # what a process sends that ends as it should


def join_processes(address: str, *, count: int, index: int, timeout: float = 30.0) -> None:
    """Connect this process with its peers; afterwards `jax.devices()` are the devices of all of them.

    JAX itself aborts a process whose peers stay away. So they first meet at the address: the process of index 0 waits
    there until all others have come.

    A process that is lost later, killed or cut off from the network, would leave the others waiting in a sum. So each
    of them writes to stderr who is gone and ends at once with the exit code 3, whatever it is doing. Start all of them
    again: an evolution with a `checkpoint` goes on where it was.

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
        met = _wait_for_peers(host, int(port), count=count, deadline=deadline, timeout=timeout)
    else:
        met = {0: _meet_first(host, int(port), index=index, deadline=deadline, timeout=timeout)}
    jax.distributed.initialize(
        address, num_processes=count, process_id=index, initialization_timeout=max(10, round(timeout))
    )
    _watch(met, address=address, count=count)


def _watch(met: dict[int, socket.socket], *, address: str, count: int) -> None:
    """End this process as soon as one of those that it has met is lost; tell those how it ends itself.

    All keep their connection with process 0, which tells the others of a loss.
    """

    def leave() -> None:
        for peer in met.values():
            with suppress(OSError):
                if not hasattr(sys, "last_type"):  # no exception has ended this process
                    peer.sendall(BYE)
                peer.close()

    def watch(index: int, peer: socket.socket) -> None:
        words = b""
        with suppress(OSError):  # as of a connection that was reset: it is lost
            while words != BYE and (more := peer.recv(64)):
                words += more
        if words == BYE:
            return
        lost = words.decode(errors="replace") or str(index)
        for other in met.values():
            with suppress(OSError):
                other.sendall(lost.encode())
        os.write(
            2,
            f"attnflow: WorkerError: process {lost} of the {count} that met at {address} is gone. Start all of them "
            "again: what has a checkpoint goes on where it was.\n".encode(),
        )
        os._exit(LOST)

    atexit.register(leave)  # after JAX has registered its own end, so that this comes first
    for index, peer in met.items():
        _notice_silence(peer)
        threading.Thread(target=watch, args=(index, peer), daemon=True).start()


def _notice_silence(peer: socket.socket) -> None:
    """Take a peer for lost that has not been heard of for 25 s, where the system can see to that."""
    peer.settimeout(None)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, number in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), number)


def _wait_for_peers(host: str, port: int, *, count: int, deadline: float, timeout: float) -> dict[int, socket.socket]:
    missing, met = set(range(1, count)), dict[int, socket.socket]()
    try:
        server = socket.create_server((host, port))
    except OSError as error:
        raise WorkerError(
            f"cannot wait for peers at {host}:{port}: {error}. Choose a free port of this host."
        ) from error
    with ExitStack() as stack:
        stack.enter_context(server)
        while missing:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                peer, _ = server.accept()
                stack.enter_context(peer)
                peer.settimeout(max(deadline - time.monotonic(), 0.001))
                index = int(peer.recv(16) or b"0")
            except (TimeoutError, ValueError) as error:
                raise WorkerError(
                    f"of {count} processes, {sorted(missing)} did not come to {host}:{port} within {timeout:g} s. "
                    "Start them with the same address and count."
                ) from error
            if index in missing:
                missing.discard(index)
                met[index] = peer
        stack.pop_all()
        server.close()
    for peer in met.values():  # after the port is free for JAX
        peer.sendall(b"go")
    return met


def _meet_first(host: str, port: int, *, index: int, deadline: float, timeout: float) -> socket.socket:
    while True:
        left = deadline - time.monotonic()
        try:
            first = socket.create_connection((host, port), timeout=max(left, 0.001))
            with ExitStack() as stack:
                stack.enter_context(first)
                first.sendall(str(index).encode())
                first.settimeout(max(deadline - time.monotonic(), 0.001))
                if first.recv(2) == b"go":
                    stack.pop_all()
                    return first
        except OSError:
            pass  # not there yet
        if deadline - time.monotonic() <= 0:
            raise WorkerError(
                f"no answer from process 0 at {host}:{port} within {timeout:g} s, or not all of its peers came. "
                "Start it there, with the same count."
            )
        time.sleep(0.05)
