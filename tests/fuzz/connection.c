/* SPDX-License-Identifier: MIT */
/* Everything a client can send and do, against an application that does everything one
 * can do: bytes go through a socket into a real server in pieces; each request that
 * comes out is run a step at a time between the client's steps. The input's first bytes
 * say how: the size of the pieces, what the application does, what the client does. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/h1.h"
#include "http/server_internal.h"

enum {
  MOST = 64,
  LONG = 300 * 1024, /* more than socket and high-water mark take together */
};

/* What the application does, bits of the input's second byte. */
enum {
  READS = 1,       /* takes the body, */
  BY_LINES = 2,    /* line by line */
  WRITES_MUCH = 4, /* pieces that have to wait for the client, */
  STREAMS = 8,     /* several of them, of unknown length */
  FAILS = 16,      /* ends half-way */
  FILES = 32,      /* sends a file */
  HINTS = 64,      /* sends early hints */
  LINGERS = 128,   /* lets the client go on before each of its steps */
};

/* What the client does, bits of the third. */
enum {
  STALLS = 1,      /* reads nothing until the end */
  LEAVES = 2,      /* closes half-way */
  HALF_CLOSES = 4, /* sends FIN half-way */
  TIME_PASSES = 8, /* every clock runs out now and then */
  CROWDS = 16,     /* others need its place half-way */
  HOARDS = 32,     /* what is still coming may take 1 KiB */
};

/* A request under way, as a thread would run it. */
typedef struct run {
  cw_req_t *req;
  int step;
  bool waits; /* in cw_req_wait_nogil() */
  size_t left;
} run_t;

static cw_server_t *srv;
static run_t runs[MOST];
static int n_runs, file_fd;
static unsigned app, client;
static bool stood_by;
static char piece[LONG];
static cw_listener_t listener = {.fd = -1, .is_unix = 1, .host = "fuzz"};

static void on_ready(void *data, cw_req_t *req) {
  assert(n_runs < MOST);
  runs[n_runs++] = (run_t){.req = req};
}

static void on_blocking(void *data) {
  stood_by = true;
}

static void check_head(const cw_head_t *h) {
  assert(h->method.len > 0 && h->target.len > 0);
  assert(!memchr(h->target.p, ' ', h->target.len));
  for (unsigned i = 0; i < h->n_fields; i++) {
    assert(h->fields[i].name.len > 0);
    assert(!memchr(h->fields[i].value.p, '\n', h->fields[i].value.len));
    assert(!memchr(h->fields[i].value.p, '\r', h->fields[i].value.len));
    assert(!memchr(h->fields[i].value.p, '\0', h->fields[i].value.len));
  }
}

/* What cw_req_wait_nogil() does in a thread, without the thread: begins to wait, and
 * returns whether it would go on now. */
static bool may_go_on(run_t *r) {
  if (!r->waits) return true;
  if (!atomic_exchange(&r->req->event.set, 0)) return false;
  pthread_mutex_lock(&r->req->lock);
  r->req->waiting = false;
  pthread_mutex_unlock(&r->req->lock);
  r->waits = false;
  return true;
}

static void finish(run_t *r, bool complete) {
  cw_req_finish(r->req, complete);
  *r = runs[--n_runs];
}

static void read_body(run_t *r) {
  char buf[512];
  ssize_t n;
  while ((n = cw_body_take(r->req, buf, sizeof(buf), app & BY_LINES)) > 0) {
  }
  if (n == CW_WAIT) {
    r->waits = true;
    return;
  }
  if (n == 0 && cw_req_head(r->req)->content_length >= 0)
    assert(cw_body_left(r->req) == 0);
  if (n == CW_LOST) (void)cw_body_error(r->req, NULL);
  r->step++;
}

static void write_piece(run_t *r, bool last) {
  size_t taken;
  int rc = cw_resp_write(r->req, piece, r->left, last, &taken);
  assert(taken <= r->left);
  r->left -= taken;
  if (rc == CW_WAIT) {
    r->waits = true;
    return;
  }
  if (rc != CW_OK) {
    finish(r, false);
  } else if (last) {
    finish(r, true);
  } else {
    r->step++;
    r->left = app & WRITES_MUCH ? LONG : 2;
  }
}

static void begin_response(run_t *r) {
  static const char length[] = "307200";
  int rc = CW_OK;
  r->left = app & WRITES_MUCH ? LONG : 2;
  if (app & HINTS) {
    const cw_field_t hint = {{"Link", 4}, {"</a>; rel=preload", 17}};
    rc = cw_resp_early_hints(r->req, &hint, 1);
  }
  if (rc == CW_OK) rc = cw_resp_start(r->req, "200 OK", 6);
  if (rc == CW_OK && (app & WRITES_MUCH) && !(app & STREAMS))
    rc = cw_resp_field(r->req, "Content-Length", 14, length, sizeof(length) - 1);
  if (rc != CW_OK)
    finish(r, false);
  else
    r->step++;
}

/* One step of a request that does not wait. */
static void step(run_t *r) {
  int64_t taken;
  switch (r->step) {
    case 0:
      check_head(cw_req_head(r->req));
      if (cw_req_expired(r->req))
        finish(r, false);
      else
        r->step++;
      break;
    case 1:
      if (app & READS)
        read_body(r);
      else
        r->step++;
      break;
    case 2: begin_response(r); break;
    case 3:
    case 4:
      if (app & FILES)
        finish(r, cw_resp_write_file(r->req, file_fd, 0, LONG, &taken) == CW_OK);
      else if (app & STREAMS)
        write_piece(r, false);
      else
        r->step++;
      break;
    case 5:
      if (app & FAILS)
        finish(r, false);
      else
        r->step++;
      break;
    default: write_piece(r, true); break;
  }
}

static void set_up(void) {
  static const cw_limits_t limits = {.head = 64 * 1024,
                                     .request_line = 512,
                                     .field_size = 512,
                                     .fields = 20,
                                     .body = 4096,
                                     .buffer_body = 256,
                                     .idle = 60000,
                                     .header = 30000,
                                     .send = 60000,
                                     .body_pause = 60000,
                                     .request_timeout = 60000,
                                     .health = "/health",
                                     .access_log = "/dev/null",
                                     .access_format = "gcp",
                                     .forwarder_headers = "SCRIPT_NAME,X_A",
                                     .proxy_mode = CW_PROXY_AUTO,
                                     .trusted = {.all = true},
                                     .proxy_headers = ~0u,
                                     .proxies = {.all = true}};
  const cw_host_t host = {.ready = on_ready, .blocking = on_blocking};
  const char *reason;
  srv = cw_server_new(&cw_h1, &listener, 0, &limits, &host, &reason);
  file_fd = memfd_create("fuzz", 0);
  signal(SIGPIPE, SIG_IGN); /* as Python has it: sendfile() knows no MSG_NOSIGNAL */
  cw_log_set_level(CW_LOG_CRITICAL); /* every other input is refused */
  if (!srv || file_fd < 0 || ftruncate(file_fd, LONG) != 0) abort();
}

/* All clocks that run now run out, as on_tick() would find them. */
static void pass_time(void) {
  cw_timer_t *t;
  cw_timer_kind_t kind;
  for (unsigned n = 2 * srv->n_conns; n; n--) {
    t = cw_timeqs_expire(&srv->timers, uv_now(&srv->loop) + 1000 * 1000, &kind);
    if (!t) return;
    if (kind == CW_TIMER_REQUEST)
      cw_conn_on_deadline(CW_CONTAINER(t, cw_req_t, deadline));
    else
      cw_conn_on_timer(CW_CONTAINER(t, cw_conn_t, timer));
  }
}

/* Another connection needs the place of one that does not run. */
static void make_room(void) {
  if (cw_list_empty(&srv->conns)) return;
  cw_conn_t *c = CW_CONTAINER(srv->conns.next, cw_conn_t, all);
  bool open = c->phase == CW_PHASE_OPEN;
  if (!open || cw_h1_of(c)->state == CW_H1_HEAD || cw_h1_of(c)->state == CW_H1_IDLE)
    cw_conn_evict(c);
}

/* The loop and the application get on; `whole`: as far as they can. */
static void turn(bool whole) {
  bool moved = true;
  cw_server_turn(srv, false);
  while (moved) {
    moved = false;
    for (int i = n_runs - 1; i >= 0; i--) {
      if (i >= n_runs || !may_go_on(&runs[i])) continue;
      step(&runs[i]);
      moved = true;
      if (!(app & LINGERS)) cw_server_turn(srv, false);
    }
    cw_server_turn(srv, false);
    if ((app & LINGERS) && !whole) return;
  }
}

/* Reads what has come. Returns whether it was the end of the connection. */
static bool receive(int fd, bool *first) {
  static char answers[64 * 1024];
  for (;;) {
    ssize_t n = recv(fd, answers, sizeof(answers), 0);
    if (n <= 0) return n == 0 || errno != EAGAIN;
    if (*first) assert(n >= 12 && memcmp(answers, "HTTP/1.1 ", 9) == 0);
    *first = false;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
  int fds[2];
  bool first = true;
  if (size < 4) return 0;
  if (!srv) set_up();
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
  cw_conn_accept(srv, &listener, fds[0], &peer);
  size_t piece_size = data[0] ? data[0] : size;
  app = data[1];
  client = data[2];
  srv->service.limits.buffer_memory = client & HOARDS ? 1024 : SIZE_MAX;
  bool open = true;
  for (size_t at = 3; at < size && open; at += piece_size) {
    size_t n = CW_MIN(piece_size, size - at);
    if (send(fds[1], data + at, n, MSG_NOSIGNAL) < 0) break; /* refused and closed */
    turn(false);
    if (!(client & STALLS)) receive(fds[1], &first);
    if ((client & TIME_PASSES) && at > size / 2) pass_time();
    if ((client & CROWDS) && at > size / 2) make_room();
    if ((client & HALF_CLOSES) && at > size / 2) shutdown(fds[1], SHUT_WR);
    if ((client & LEAVES) && at > size / 2) open = false;
  }
  if (open) {
    shutdown(fds[1], SHUT_WR);
    /* A client that reads on gets all there is: nothing may be left behind. */
    for (int i = 0; i < 100 && !receive(fds[1], &first); i++) turn(true);
  }
  close(fds[1]);
  /* Whoever waits is told, and comes to an end. */
  for (int i = 0; i < 8; i++) turn(true);
  assert(n_runs == 0);
  cw_server_turn(srv, false);
  assert(cw_server_connections(srv) == 0 && srv->held == 0);
  return 0;
}
