/* SPDX-License-Identifier: MIT */
/* A request without a connection: the app is called as for any other one, and what it
 * sends goes nowhere. */
#include "http/warmup.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http/checks.h"
#include "http/reason.h"
#include "http/server_internal.h"

/* ---- its stream -------------------------------------------------------------- */

static int drop(cw_req_t *req, const char *data, size_t n, bool last, size_t *taken) {
  cw_resp_t *r = &req->resp;
  r->sent = true;
  r->body_sent += (int64_t)n;
  r->ended = last && (r->length < 0 || r->no_body || cw_resp_is_whole(req));
  *taken = n;
  return CW_OK;
}

static int drop_file(cw_req_t *req, int fd, int64_t offset, int64_t len,
                     int64_t *taken) {
  size_t unused;
  *taken = len;
  return drop(req, NULL, (size_t)len, true, &unused);
}

static int drop_hints(cw_req_t *req, const cw_field_t *fields, unsigned n) {
  return CW_OK;
}

/* There is no body to ask for, and no socket to take. */
static void want_body(cw_req_t *req) {}
static int take_over(cw_req_t *req) {
  return -1;
}

static const cw_stream_t nowhere = {.send = drop,
                                    .send_file = drop_file,
                                    .send_hints = drop_hints,
                                    .want_body = want_body,
                                    .take_over = take_over};

/* ---- the request ----------------------------------------------------------- */

/* A header section for `target`. Returns 0, or -1: no memory. */
static int write_head(cw_buf_t *head, const char *target) {
  static const char rest[] = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  int rc = cw_buf_append(head, "GET ", 4);
  for (const char *p = target; rc == 0 && *p; p++) {
    unsigned char c = (unsigned char)*p;
    char escaped[4];
    if (cw_byte_class[c] & CW_BYTE_TARGET) {
      rc = cw_buf_append(head, p, 1);
    } else {
      snprintf(escaped, sizeof(escaped), "%%%02X", c);
      rc = cw_buf_append(head, escaped, 3);
    }
  }
  return rc == 0 ? cw_buf_append(head, rest, sizeof(rest) - 1) : rc;
}

/* Without a socket: nothing is read from it. */
static cw_req_t *make_request(cw_server_t *srv) {
  const cw_listener_t *first = srv->acceptors.n ? srv->acceptors.items[0].info : NULL;
  cw_req_t *req = cw_req_new(&srv->service, &nowhere, -1);
  if (!req) return NULL;
  req->head.peer_addr = "127.0.0.1";
  req->head.peer_port = "0";
  req->head.server_name = "localhost";
  req->head.server_port = first && !first->is_unix ? first->port : "80";
  return req;
}

/* Runs it and takes it back. */
static void run(cw_server_t *srv, const cw_app_t *app, cw_req_t *req) {
  int what = 0;
  app->run(app->data, req);
  while (!(what & CW_POST_DONE)) {
    cw_post_t *post = cw_posts_take(&srv->service.posts, &what);
    assert(post == &req->post);
    (void)post;
  }
}

/* "200 OK" of a response's head. */
static void copy_status(const cw_resp_t *r, char *line, size_t size) {
  static const char version[] = "HTTP/1.1 ";
  const char *p = r->head.p + sizeof(version) - 1, *end = memchr(p, '\r', r->head.len);
  snprintf(line, size, "%.*s", (int)(end - p), p);
}

int cw_server_warm_up(cw_server_t *srv, const cw_app_t *app, const char *target,
                      char *line, size_t size) {
  cw_buf_t head = {0};
  cw_req_t *req = make_request(srv);
  int status = 503, result = 0;
  if (req && write_head(&head, target) == 0)
    status = cw_parse_head(&srv->parser, req, head.p, cw_buf_pending(&head));
  cw_buf_free(&head);
  if (status != 0) {
    snprintf(line, size, "would be refused with %d %s", status, cw_reason(status));
  } else {
    run(srv, app, req);
    result = req->failed ? -1 : req->resp.status;
    if (req->failed)
      snprintf(line, size, "did not get a whole response");
    else
      copy_status(&req->resp, line, size);
  }
  if (req) cw_req_free(req);
  return result;
}
