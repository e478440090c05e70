/* SPDX-License-Identifier: MIT */
/* The floor: one libuv loop and llhttp that answer every request with the same bytes.
 *
 * static PORT; listens on 127.0.0.1. What a server with an app costs above this is what
 * Python and the way to it cost. */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/macros.h"

static const char answer[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 13\r\n"
    "\r\n"
    "Hello, World!";

typedef struct conn {
  uv_tcp_t tcp; /* first: handles are cast to connections */
  llhttp_t parser;
  unsigned due; /* requests read and not yet answered */
} conn_t;

static llhttp_settings_t settings;
static char read_buffer[64 * 1024]; /* one loop, so one read at a time */

static int on_message_complete(llhttp_t *parser) {
  ((conn_t *)parser->data)->due++;
  return 0;
}

static void on_close(uv_handle_t *handle) {
  free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf) {
  (void)handle, (void)hint;
  *buf = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  conn_t *conn = (conn_t *)stream;
  if (n == 0) return;
  if (n < 0 || llhttp_execute(&conn->parser, buf->base, (size_t)n) != HPE_OK) {
    uv_close((uv_handle_t *)stream, on_close);
    return;
  }
  for (; conn->due; conn->due--) {
    uv_buf_t out = uv_buf_init(cw_unconst(answer), sizeof(answer) - 1);
    /* The load generator always reads: a full socket buffer is its fault. */
    if (uv_try_write(stream, &out, 1) != (int)out.len) {
      uv_close((uv_handle_t *)stream, on_close);
      return;
    }
  }
}

static void on_connection(uv_stream_t *listener, int status) {
  conn_t *conn = calloc(1, sizeof(*conn));
  if (status || !conn || uv_tcp_init(listener->loop, &conn->tcp)) {
    free(conn);
    return;
  }
  llhttp_init(&conn->parser, HTTP_REQUEST, &settings);
  conn->parser.data = conn;
  if (uv_accept(listener, (uv_stream_t *)&conn->tcp) || uv_tcp_nodelay(&conn->tcp, 1) ||
      uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read)) {
    uv_close((uv_handle_t *)&conn->tcp, on_close);
  }
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_tcp_t listener;
  struct sockaddr_in addr;
  llhttp_settings_init(&settings);
  settings.on_message_complete = on_message_complete;
  if (argc != 2 || uv_ip4_addr("127.0.0.1", atoi(argv[1]), &addr) ||
      uv_tcp_init(loop, &listener) ||
      uv_tcp_bind(&listener, (const struct sockaddr *)&addr, 0) ||
      uv_listen((uv_stream_t *)&listener, 1024, on_connection)) {
    fputs("usage: static PORT (a free one)\n", stderr);
    return 1;
  }
  return uv_run(loop, UV_RUN_DEFAULT);
}
