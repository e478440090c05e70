/* SPDX-License-Identifier: MIT */
/* Stands in for the parts of libuv that cwsgi has no use for. tools/wheels.py links it.
 *
 * cwsgi polls sockets of its own; it has a loop, timers and a wake-up besides. libuv's
 * uv_close() and its loop name every kind of handle there is, so that the linker would
 * keep streams, UDP, terminals, files and the thread pool, which nobody can open here.
 * Their types come from libuv's own headers: a newer one that differs does not compile.
 */
#include <stdlib.h>

#include "unix/internal.h"
#include "uv.h"

#define UNUSED(type, name, ...)                                                          \
  type name(__VA_ARGS__) { abort(); }

UNUSED(void, uv__stream_close, uv_stream_t *handle)
UNUSED(void, uv__stream_destroy, uv_stream_t *handle)
UNUSED(void, uv__stream_io, uv_loop_t *loop, uv__io_t *w, unsigned events)
UNUSED(void, uv__server_io, uv_loop_t *loop, uv__io_t *w, unsigned events)
UNUSED(void, uv__tcp_close, uv_tcp_t *handle)
UNUSED(void, uv__tty_close, uv_tty_t *handle)
UNUSED(void, uv__udp_close, uv_udp_t *handle)
UNUSED(void, uv__udp_finish_close, uv_udp_t *handle)
UNUSED(void, uv__udp_io, uv_loop_t *loop, uv__io_t *w, unsigned events)
UNUSED(void, uv__fs_poll_close, uv_fs_poll_t *handle)
UNUSED(void, uv__fs_post, uv_loop_t *loop, uv_fs_t *request)
UNUSED(void, uv__work_done, uv_async_t *handle)

/* A destructor of libuv's calls it: no thread was started. */
void uv__threadpool_cleanup(void) {}
