/* SPDX-License-Identifier: MIT */
/* Every allocation of http/ fails in turn, over a list of conversations: the server
 * goes on, nothing leaks (ASan looks), and no answer has a second head inside it. */
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "http/server_internal.h"
#include "unit/serve.h"

#define HOST "Host: a\r\n"
#define TEN(x) x x x x x x x x x x

enum {
  BIG = 600 * 1024,   /* more than socket and high-water mark take */
  HALF = 250 * 1024,  /* more than the socket takes, less than both */
  MOST_FAULTS = 1000, /* no conversation has that many allocations */
};

typedef struct talk {
  const char *name, *in;
  size_t len;  /* of `in`; 0: up to its NUL */
  size_t step; /* bytes sent at once; 0: all */
  size_t body; /* of each response */
  bool in_two; /* the response is written in two calls */
  bool by_file;
  unsigned answers;
} talk_t;

static cw_server_t *srv;
static cw_req_t *queue[64];
static int queued;
static const talk_t *now;
static char content[BIG];
static int file = -1;

static void on_ready(void *data, cw_req_t *req) {
  assert_true(queued < 64);
  queue[queued++] = req;
}

static void set_up_server(void) {
  static const cw_limits_t limits = {USUAL_LIMITS,
                                     .health = "/health",
                                     .request_timeout = 60000,
                                     .access_log = "/dev/null",
                                     .access_format = "%({X-Answer}o)s %({e}e)s %(r)s",
                                     .proxy_mode = CW_PROXY_AUTO,
                                     .trusted = {.all = true},
                                     .proxy_headers = ~0u,
                                     .proxies = {.all = true}};
  const cw_host_t host = {.ready = on_ready, .blocking = must_not_block};
  srv = serve(&cw_h1, &limits, &host);
}

/* The app. What it cannot send now ends the request, as an app's exception would. */
static void run(cw_req_t *req) {
  char buf[512];
  size_t taken = 0, size = now->body;
  ssize_t n;
  int64_t went;
  bool complete = false;
  while ((n = cw_body_take(req, buf, sizeof(buf), false)) > 0) {
  }
  if (n < 0 || cw_resp_start(req, "200 OK", 6) != 0 ||
      cw_resp_field(req, "X-Answer", 8, "yes", 3) != 0)
    goto done;
  if (now->by_file) {
    complete = cw_resp_write_file(req, file, 0, (int64_t)size, &went) == CW_OK;
  } else if (now->in_two) {
    complete = cw_resp_write(req, content, size / 2, false, &taken) == CW_OK &&
               cw_resp_write(req, content, size - size / 2, true, &taken) == CW_OK;
  } else {
    complete = cw_resp_write(req, content, size, true, &taken) == CW_OK;
  }
done:
  cw_req_set_log_environ(req, 0, "value", 5);
  cw_req_finish(req, complete);
}

static void turn(void) {
  cw_server_turn(srv, false);
  while (queued) {
    cw_req_t *req = queue[0];
    memmove(queue, queue + 1, (size_t)--queued * sizeof(req));
    run(req);
    cw_server_turn(srv, false);
  }
}

/* Reads what has come. Returns false at the end of the connection. */
static bool collect(int fd, cw_buf_t *got) {
  char buf[64 * 1024];
  for (;;) {
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n <= 0) return false;
    /* The test's own memory is not to fail. */
    char *p = realloc(got->p, got->len + (size_t)n);
    assert_non_null(p);
    got->p = p;
    memcpy(got->p + got->len, buf, (size_t)n);
    got->len += (size_t)n;
  }
}

static unsigned heads_in(const cw_buf_t *got) {
  unsigned n = 0;
  for (size_t i = 0; i + 9 <= got->len; i++)
    n += memcmp(got->p + i, "HTTP/1.1 ", 9) == 0;
  return n;
}

/* One conversation on a connection of its own. Returns the heads that came back; of
 * these the last may be an error, and only the last. */
static unsigned converse(const talk_t *t, bool *whole) {
  cw_buf_t got = {0};
  size_t len = t->len ? t->len : strlen(t->in), step = t->step ? t->step : len;
  now = t;
  int fd = dial_by(srv, &service);
  for (size_t at = 0; at < len; at += step) {
    if (send(fd, t->in + at, CW_MIN(step, len - at), MSG_NOSIGNAL) < 0) break;
    turn();
  }
  shutdown(fd, SHUT_WR);
  for (int i = 0; i < 100; i++) {
    turn();
    if (!collect(fd, &got)) break;
  }
  close(fd);
  turn();
  turn();
  assert_int_equal(cw_server_connections(srv), 0);
  assert_int_equal(queued, 0);
  unsigned heads = heads_in(&got);
  assert_true(heads <= t->answers);
  *whole = heads == t->answers && got.len >= heads * t->body;
  /* Each answer but the last is whole: the next head stands where its body ends. */
  size_t at = 0;
  for (unsigned i = 0; i < heads; i++) {
    assert_true(got.len - at >= 12 && memcmp(got.p + at, "HTTP/1.1 ", 9) == 0);
    if (i + 1 == heads) break;
    const char *length = memmem(got.p + at, got.len - at, "Content-Length: ", 16),
               *end = memmem(got.p + at, got.len - at, "\r\n\r\n", 4);
    assert_true(length && end && length < end);
    at = (size_t)(end - got.p) + 4 + strtoul(length + 16, NULL, 10);
  }
  free(got.p);
  return heads;
}

static int descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

#define GET "GET /path?q=1 HTTP/1.1\r\n" HOST "\r\n"
#define LONG_HEAD                                                                  \
  "GET /" TEN(TEN("abc")) " HTTP/1.1\r\n" HOST TEN("X-A: b\r\n") TEN("X-A: b\r\n") \
      TEN("X-A: b\r\n") "\r\n"

static const talk_t talks[] = {
    {.name = "get", .in = GET, .answers = 1, .body = 2},
    {.name = "get, by bytes", .in = GET, .step = 1, .answers = 1, .body = 2},
    {.name = "many fields", .in = LONG_HEAD, .answers = 1, .body = 2},
    {.name = "many fields, in pieces",
     .in = LONG_HEAD,
     .step = 50,
     .answers = 1,
     .body = 2},
    {.name = "pipeline", .in = GET GET LONG_HEAD GET, .answers = 4, .body = 2},
    {.name = "small body",
     .in = "POST / HTTP/1.1\r\n" HOST "Content-Length: 20\r\n\r\n" TEN("ab"),
     .step = 7,
     .answers = 1,
     .body = 2},
    {.name = "streamed body",
     .in = "POST / HTTP/1.1\r\n" HOST "Content-Length: 300\r\n\r\n" TEN(TEN("abc")),
     .answers = 1,
     .body = 2},
    {.name = "chunks",
     .in = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n" GET,
     .answers = 2,
     .body = 2},
    {.name = "health",
     .in = "GET /health HTTP/1.1\r\n" HOST "\r\n" GET,
     .answers = 2,
     .body = 2},
    {.name = "refused", .in = "GET / HTTP/1.1\r\nHost : a\r\n\r\n" GET, .answers = 1},
    {.name = "PROXY header",
     .in = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n" GET,
     .answers = 1,
     .body = 2},
    {.name = "forwarded",
     .in = "GET / HTTP/1.1\r\n" HOST "X-Forwarded-For: 192.0.2.9\r\n"
           "Forwarded: for=192.0.2.9;proto=https;host=b.c\r\n"
           "X-Forwarded-Host: b.c\r\nX-Forwarded-Port: 444\r\n\r\n",
     .answers = 1,
     .body = 2},
    {.name = "slow reader", .in = GET, .answers = 1, .body = HALF},
    {.name = "slow reader, in two",
     .in = GET,
     .in_two = true,
     .answers = 1,
     .body = HALF},
    {.name = "slow reader of a file",
     .in = GET,
     .by_file = true,
     .answers = 1,
     .body = BIG},
    {.name = "slow readers, pipelined", .in = GET GET, .answers = 2, .body = HALF},
};

static void every_allocation_fails(void **state) {
  static const talk_t plain = {.in = GET, .answers = 1, .body = 2};
  for (size_t i = 0; i < CW_ARRAY_LEN(talks); i++) {
    const talk_t *t = &talks[i];
    long n = 0, left;
    bool whole;
    do {
      assert_true(++n < MOST_FAULTS);
      /* A server of its own: nothing is in a pool yet. */
      set_up_server();
      int before = descriptors();
      cw_fault_arm(n);
      converse(t, &whole);
      left = cw_fault_left();
      cw_fault_arm(0);
      if (left && !whole) print_error("%s: not answered without a failure\n", t->name);
      assert_true(whole || !left);
      assert_int_equal(converse(&plain, &whole), 1);
      assert_true(whole);
      assert_int_equal(descriptors(), before);
      cw_server_free(srv);
    } while (!left);
    print_message("%s: %ld allocations failed in turn\n", t->name, n - 1);
  }
}

/* A file's descriptor has to be duplicated for the loop, after part of it was sent. */
static void no_descriptor_for_the_loop(void **state) {
  static const talk_t t = {.in = GET, .by_file = true, .answers = 1, .body = BIG};
  struct rlimit limit, none;
  bool whole;
  set_up_server();
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  int next = dup(0);
  close(next);
  none = limit;
  none.rlim_cur = (rlim_t)next + 2; /* for the two ends */
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  assert_int_equal(converse(&t, &whole), 1);
  assert_false(whole);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  cw_server_free(srv);
}

static int make_file(void **state) {
  char path[] = "/tmp/cwsgi-unit-XXXXXX";
  memset(content, 'x', sizeof(content));
  file = mkstemp(path);
  unlink(path);
  return file >= 0 && write(file, content, sizeof(content)) == BIG ? 0 : -1;
}

static int close_file(void **state) {
  return close(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_fails),
                                     cmocka_unit_test(no_descriptor_for_the_loop)};
  return cmocka_run_group_tests(tests, make_file, close_file);
}
